"""Fields of a record against those of its source: what does not fit, in words."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingestion.validation import validate
from shared.contracts.flow import RejectReason
from tests import builders as b
from tests.unit.ingestion.calls import value

FIELDS = {
    "card_id": "string",
    "amount": {"type": "number", "minimum": 0, "maximum": 1_000},
    "category": {"type": "string", "enum": ["food", "travel", "web"]},
    "items": {"type": "integer", "optional": True},
    "abroad": {"type": "boolean", "optional": True},
}


@pytest.mark.parametrize(
    ("over", "reason", "detail"),
    [
        ({"amount": "12"}, RejectReason.WRONG_TYPE, "field 'amount': expected a number of at least 0 and at most 1000, "
         "found the text '12'"),
        ({"amount": True}, RejectReason.WRONG_TYPE, "found true"),
        ({"amount": -3}, RejectReason.OUT_OF_RANGE, "found the number -3"),
        ({"amount": 1_000.5}, RejectReason.OUT_OF_RANGE, "found the number 1000.5"),
        ({"amount": float("inf")}, RejectReason.OUT_OF_RANGE, "found the number inf"),
        ({"amount": None}, RejectReason.MISSING_FIELD, "found null"),
        ({"category": "toys"}, RejectReason.OUT_OF_RANGE, "expected one of food, travel, web, found the text 'toys'"),
        ({"category": 5}, RejectReason.WRONG_TYPE, "found the number 5"),
        ({"items": 1.5}, RejectReason.WRONG_TYPE, "expected a whole number, found the number 1.5"),
        ({"abroad": 1}, RejectReason.WRONG_TYPE, "expected true or false, found the number 1"),
        ({"amounts": 1}, RejectReason.UNKNOWN_FIELD, "did you mean amount?"),
        ({"card_id": 5}, RejectReason.WRONG_TYPE, "expected a text, found the number 5"),
    ],
)  # fmt: skip
def test_what_does_not_fit(over: dict[str, Any], reason: RejectReason, detail: str) -> None:
    refusal = validate(b.source(fields=FIELDS), value(**over))
    assert refusal is not None
    assert refusal.reason is reason
    assert detail in refusal.detail


def test_a_field_that_is_absent_is_named() -> None:
    record = value()
    del record["amount"]
    refusal = validate(b.source(fields=FIELDS), record)
    assert refusal is not None
    assert refusal.reason is RejectReason.MISSING_FIELD
    assert refusal.detail.startswith("field 'amount': expected a number")


@pytest.mark.parametrize(
    "over", [{}, {"items": None}, {"items": 3}, {"items": 3.0}, {"abroad": False}, {"amount": 0}, {"amount": 1_000}]
)
def test_what_fits(over: dict[str, Any]) -> None:
    assert validate(b.source(fields=FIELDS), value(**over)) is None


def test_equal_names_under_changed_definitions_do_not_share_a_plan() -> None:
    assert validate(b.source(fields=FIELDS), value(amount=2_000)) is not None
    assert validate(b.source(fields={**FIELDS, "amount": "number"}), value(amount=2_000)) is None
