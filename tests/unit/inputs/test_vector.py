"""A model's input vector: order, kinds, rounding, what is missing, and what is refused."""

from __future__ import annotations

import json
import math

import pytest

from shared.contracts.topology import Definitions
from shared.inputs.vector import InputPlan
from shared.inputs.windows import observe
from tests.unit.inputs.streams import definitions, model, source, view

FIELDS = {"k": "string", "amount": "number", "category": "string", "online": "boolean", "count": "integer"}
SPEND = view(
    {"mean": {"aggregate": "mean", "of": "amount", "over": "1h"}, "kind": {"aggregate": "last", "of": "category"}},
    ttl="1d",
)
KNOWN = definitions(source(FIELDS), SPEND)


def test_inputs_stand_in_the_order_fields_derived_views_with_their_kinds() -> None:
    derived = {"hour": "hour(at)", "label": "concat(category, '!')", "ratio": "amount / (v.mean + 1)"}
    plan = InputPlan.of(model({"fields": ["category", "amount"], "derived": derived, "views": ["v"]}), KNOWN)
    assert plan.names_and_kinds == (
        ("category", "category"),
        ("amount", "number"),
        ("hour", "number"),
        ("label", "category"),
        ("ratio", "number"),
        ("v.mean", "number"),
        ("v.kind", "category"),
    )
    state = observe(SPEND, None, 0, "r0", {"amount": 3, "category": "web"})
    found = plan.inputs({"category": "food", "amount": 8.0}, 3_600_000, {"v": state})
    expected = {"category": "food", "amount": 8.0, "hour": 1.0, "label": "food!", "ratio": 2.0, "v.mean": 3.0}
    assert found == {**expected, "v.kind": "web"}
    assert list(found) == [name for name, _ in plan.names_and_kinds]


def test_numbers_are_what_a_float32_holds() -> None:
    plan = InputPlan.of(model({"fields": ["amount", "count", "online"]}), KNOWN)
    found = plan.inputs({"amount": 0.1, "count": 2**24 + 1, "online": True}, 0, {})
    assert found == {"amount": 0.10000000149011612, "count": 16_777_216.0, "online": 1.0}
    assert plan.inputs(found, 0, {}) == json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("value", [1e39, math.nan, math.inf, None, "text"])
def test_what_is_no_float32_is_missing(value: float | str | None) -> None:
    plan = InputPlan.of(model({"fields": ["amount", "category"]}), KNOWN)
    assert plan.inputs({"amount": value}, 0, {}) == {"amount": None, "category": None}


def test_the_time_field_is_epoch_milliseconds_however_the_record_wrote_it() -> None:
    plan = InputPlan.of(model({"derived": {"day": "at / 86400000", "weekday": "day_of_week(at)"}}), KNOWN)
    assert plan.inputs({"at": "1970-01-03T00:00:00Z"}, 172_800_000, {}) == {"day": 2.0, "weekday": 5.0}


def test_a_derived_expression_may_read_a_view_that_is_no_input() -> None:
    plan = InputPlan.of(model({"derived": {"high": "amount > v.mean"}}), KNOWN)
    assert (list(plan.views), [name for name, _ in plan.names_and_kinds]) == (["v"], ["high"])
    state = observe(SPEND, None, 0, "r0", {"amount": 3.0})
    assert plan.inputs({"amount": 4.0}, 1, {"v": state}) == {"high": 1.0}
    assert plan.inputs({"amount": 4.0}, 1, {"v": None}) == {"high": None}


def test_an_entity_is_unknown_when_no_view_has_a_state() -> None:
    plan = InputPlan.of(model({"views": ["v"]}), KNOWN)
    assert plan.unknown_entity({})
    assert plan.unknown_entity({"v": None})
    assert not plan.unknown_entity({"v": observe(SPEND, None, 0, "r0", {})})
    assert not InputPlan.of(model({"fields": ["amount"]}), KNOWN).unknown_entity({})


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"fields": ["amuont"]}, "'amuont', which source s does not have"),
        ({"views": ["u"]}, "the view 'u'; the declared ones are v"),
        ({"derived": {"a": "amount + u.mean"}}, "the view 'u'"),
        ({"derived": {"a": "v.meen + 1"}}, "did you mean v.mean"),
        ({"fields": ["amount"], "derived": {"amount": "1 + 1"}}, "two inputs are called amount"),
    ],
)
def test_a_name_that_is_not_declared_is_refused(inputs: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        InputPlan.of(model(inputs), KNOWN)


def test_definitions_without_views_serve_a_model_of_fields() -> None:
    plan = InputPlan.of(model({"fields": ["amount"]}), Definitions(KNOWN.sources, {}, {}))
    assert plan.inputs({"amount": 1}, 0, {}) == {"amount": 1.0}
