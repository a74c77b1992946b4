"""What fits a field or is a name: the edges on which streams and requests once differed."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts.definitions import FieldSpec, FieldType
from shared.contracts.flow import RejectReason
from shared.contracts.record_fields import Refusal, field_refusal, name_of, unknown_refusal

AMOUNT = FieldSpec(type=FieldType.NUMBER, minimum=0)


@pytest.mark.parametrize("found", [float("inf"), float("-inf"), float("nan"), 10**400])
def test_a_number_is_finite_even_where_no_maximum_is_declared(found: float) -> None:
    refusal = field_refusal("amount", AMOUNT, {"amount": found})
    assert refusal is not None
    assert refusal.reason is RejectReason.OUT_OF_RANGE
    assert len(refusal.detail) < 200


@pytest.mark.parametrize("found", [0, 0.0, 5, 1.7e308])
def test_a_finite_number_within_its_limits_fits(found: float) -> None:
    assert field_refusal("amount", AMOUNT, {"amount": found}) is None


@pytest.mark.parametrize(
    ("value", "found"), [({}, "no such field"), ({"amount": None}, "null"), ({"amount": "5"}, "the text '5'")]
)
def test_what_is_missing_or_of_another_type_says_what_is_there(value: dict[str, Any], found: str) -> None:
    refusal = field_refusal("amount", AMOUNT, value)
    assert refusal is not None
    assert refusal.detail == f"field 'amount': expected a number of at least 0, found {found}"


@pytest.mark.parametrize("value", [{}, {"amount": None}])
def test_an_optional_field_may_be_absent_or_null(value: dict[str, Any]) -> None:
    assert field_refusal("amount", AMOUNT.model_copy(update={"optional": True}), value) is None


@pytest.mark.parametrize(("found", "name"), [("c1", "c1"), (7, "7"), (7.0, "7"), (2**60, str(2**60)), (-0.5, "-0.5")])
def test_a_name_is_one_and_the_same_however_its_number_is_written(found: object, name: str) -> None:
    assert name_of("card_id", {"card_id": found}) == name


@pytest.mark.parametrize("found", [None, "", True, [], {}, 2.0**53, float("nan"), "x" * 1_025])
def test_what_is_no_name_is_refused(found: object) -> None:
    refusal = name_of("card_id", {"card_id": found})
    assert isinstance(refusal, Refusal)
    assert refusal.field == "card_id"


def test_an_unknown_field_is_named_with_the_nearest_known() -> None:
    refusal = unknown_refusal({"amount", "card_id"}, {"card_id": "c1", "amuont": 3})
    assert (refusal.reason, refusal.field) == (RejectReason.UNKNOWN_FIELD, "amuont")
    assert "did you mean amount?" in refusal.detail
