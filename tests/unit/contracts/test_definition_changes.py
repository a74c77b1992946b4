"""What a declared change alters: refused where stored things were made under the old meaning, shown in every case."""

from __future__ import annotations

import re

import pytest

from shared.contracts.definition_changes import changed_meaning, difference
from shared.contracts.definitions import FeatureView, Model, Source
from shared.contracts.topology import NO_DEFINITIONS
from tests import builders as b

FIELDS = b.source().model_dump(mode="json")["fields"]
FEATURES = b.view().model_dump(mode="json")["features"]
INPUTS = b.model().inputs.model_dump(mode="json")
LABEL = b.model().label.model_dump(mode="json")


@pytest.mark.parametrize(
    ("definition", "where", "said"),
    [
        (b.source(key="category"), "key", "changed from card_id to category"),
        (b.source(id="payment_id"), "id", "changed from transaction_id to payment_id"),
        (b.source(partitions=2), "partitions", "changed from 1 to 2"),
        (b.source(topic="payments"), "topic", "changed from transactions to payments"),
        (b.source(time={"field": "when", "clock": "events"}), "time.field", "from at to when"),
        (b.source(time={"field": "at"}), "time.clock", "from events to wall"),
        (b.source(fields={**FIELDS, "amount": "integer"}), "fields.amount.type", "from number to integer"),
        (b.source(fields={"card_id": "string", "amount": "number"}), "fields.category", "removed"),
        (b.source(fields={**FIELDS, "shop": "string"}), "fields.shop", "optional: true"),
        (b.view(source="payments"), "source", "from transactions to payments"),
        (b.view(entity="category"), "entity", "from card_id to category"),
        (b.view(ttl="1d"), "ttl", "changed"),
        (
            b.view(features={**FEATURES, "count_24h": {"aggregate": "count", "over": "1h"}}),
            "features.count_24h",
            "chan",
        ),
        (b.view(features={"count_24h": FEATURES["count_24h"]}), "features.spend_mean_1h", "removed"),
        (
            b.view(features={**FEATURES, "n": {"aggregate": "count", "over": "1h"}}),
            "features.n",
            "changes the inputs of model card_fraud",
        ),
        (b.view(features=dict(reversed(FEATURES.items()))), "features", "reordered"),
        (b.model(scores="payments"), "scores", "from transactions to payments"),
        (b.model(mode="request"), "mode", "from stream to request"),
        (b.model(task="multiclass"), "task", "from binary to multiclass"),
        (b.model(inputs={**INPUTS, "fields": ["category", "amount"]}), "inputs.fields", r"\[category, amount\]"),
        (b.model(inputs={**INPUTS, "derived": {"hour": "hour(at) + 1"}}), "inputs.derived", r"hour: hour\(at\) \+ 1"),
        (b.model(inputs={**INPUTS, "views": []}), "inputs.views", r"from \[card_activity\] to \[\]"),
        (b.model(label={**LABEL, "matures_after": "20m"}), "label.matures_after", "changed"),
        (b.model(label={**LABEL, "absent": 0}), "label.absent", "from nothing to 0"),
    ],
)
def test_a_change_of_meaning_is_refused(definition: Source | FeatureView | Model, where: str, said: str) -> None:
    found = changed_meaning(b.definitions(), [definition])
    assert [(p.kind, p.name, p.where) for p in found] == [(definition.kind, definition.name, where)]
    assert re.search(said, found[0].message), found[0].message
    assert "under a new name" in found[0].message or "optional: true" in found[0].message


@pytest.mark.parametrize(
    "definition",
    [
        *b.declared(),
        b.source(name="payments", partitions=3),
        b.source(retention={"topic": "1d"}),
        b.source(time={"field": "at", "clock": "events", "allowed_lateness": "5m", "max_ahead": "1m"}),
        b.source(fields={**FIELDS, "amount": {"type": "number", "minimum": -5, "maximum": 10}}),
        b.source(fields={**FIELDS, "shop": {"type": "string", "optional": True}}),
        b.source(fields={**FIELDS, "amount": {"type": "number", "optional": True}}),
        b.source(topic=b.SOURCE),
        b.model(rollout={"steps": [50, 100]}),
        b.model(retrain={"policy": "every", "rows": 500}),
        b.model(monitor={"report_every": 50}),
        b.model(training={"seed": 8}),
    ],
)
def test_a_harmless_change_passes(definition: Source | FeatureView | Model) -> None:
    assert changed_meaning(b.definitions(), [definition]) == []


def test_a_view_that_no_model_uses_may_gain_a_feature() -> None:
    unused = NO_DEFINITIONS.with_applied([b.source(), b.view()])
    grown = b.view(features={**FEATURES, "n": {"aggregate": "count", "over": "1h"}})
    assert changed_meaning(unused, [grown]) == []


def test_the_order_of_derived_inputs_counts() -> None:
    derived = {"hour": "hour(at)", "day": "day_of_week(at)"}
    before = b.definitions(b.model(inputs={**INPUTS, "derived": derived}))
    after = b.model(inputs={**INPUTS, "derived": dict(reversed(derived.items()))})
    assert [p.where for p in changed_meaning(before, [after])] == ["inputs.derived"]


def test_the_difference_shows_each_value() -> None:
    new = [
        b.source(retention={"topic": "1d"}, fields={**FIELDS, "shop": {"type": "string", "optional": True}}),
        b.view(),
        b.model(rollout={"steps": [50, 100]}),
        b.view(name="fresh"),
    ]
    assert difference(b.definitions(), new) == [
        "~ Source transactions",
        "    retention.topic: 1w -> 1d",
        "  + fields.shop.type: string",
        "  + fields.shop.minimum: nothing",
        "  + fields.shop.maximum: nothing",
        "  + fields.shop.enum: nothing",
        "  + fields.shop.optional: true",
        "= FeatureView card_activity",
        "~ Model card_fraud",
        "    rollout.steps: [5, 25, 100] -> [50, 100]",
        "+ FeatureView fresh",
    ]
