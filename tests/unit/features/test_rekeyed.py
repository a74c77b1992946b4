"""Views by an entity that is not the key: a record goes from log to log, and takes along what was known of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from services.features.compute import compute_step, on_accepted, on_look, on_rekeyed
from services.features.entity_state import EntityState
from shared.contracts.definitions import FeatureView, Model, Source
from shared.contracts.envelope import NEVER_MS, Message
from shared.contracts.flow import InputsComputed, RecordRekeyed
from shared.contracts.platform import Platform
from shared.contracts.stages import entity_subject
from shared.contracts.topics import ENTITY, SCORING
from shared.inputs.windows import WindowState, evaluate
from shared.runtime.derived_events import prepare
from shared.runtime.partitioning import partition_of
from shared.runtime.step import Context, Due, Output, Publish, SetTimer
from tests import builders as b
from tests.unit.features.calls import HOUR_MS, inputs_of, record, windows_of

COUNT = {"n": {"aggregate": "count", "over": "1h"}}
FIELDS = {
    **b.source().model_dump(mode="json")["fields"],
    "shop": {"type": "string", "optional": True},
    "terminal": {"type": "integer", "optional": True},
}
SOURCE = b.source(fields=FIELDS, partitions=4)
BY_SHOP = b.view(name="by_shop", entity="shop", features=COUNT)
BY_TERMINAL = b.view(name="by_terminal", entity="terminal", features=COUNT)
MORE = {"more": "by_shop.n - by_terminal.n"}
ALL = b.model(name="all", inputs={"derived": MORE, "views": [b.VIEW, "by_shop", "by_terminal"]})
SHOP_ONLY = b.model(name="shop_only", inputs={"fields": ["amount"], "views": ["by_shop"]})
DECLARED = (SOURCE, BY_SHOP, BY_TERMINAL, ALL, SHOP_ONLY)
SHOP, TERMINAL = entity_subject(b.SOURCE, "shop"), entity_subject(b.SOURCE, "terminal")


def at(subject: str, *declared: Source | FeatureView | Model) -> Context:
    definitions = b.definitions(*(declared or DECLARED))
    task = next(t for t in definitions.tasks if t.step == "compute" and t.subject == subject)
    return Context(Platform(position=2, definitions=definitions), NEVER_MS, task)


def paid(record_id: str, time_ms: int = b.T0_MS, **place: Any) -> Message:
    message = record(record_id, time_ms)
    value = {**message.event.model_dump()["value"], **place}
    return Message(record_id, "test", time_ms, "c1", b.accepted(record_id=record_id, value=value), 1, 2)


def sent_on(outputs: Sequence[Output]) -> tuple[Publish, RecordRekeyed]:
    [(publish, event)] = [
        (o, o.event) for o in outputs if isinstance(o, Publish) and isinstance(o.event, RecordRekeyed)
    ]
    return publish, event


def arrived(outputs: Sequence[Output]) -> Message:
    """What was sent on, as the next log holds it."""
    publish, event = sent_on(outputs)
    return Message(event.record_id, "features/compute", publish.time_ms, publish.key, event, 1, 2)


def scored(outputs: Sequence[Output]) -> list[str]:
    return [event.model for event in inputs_of(outputs)]


def test_a_model_is_scored_in_the_log_where_the_last_of_its_views_is() -> None:
    state, own = on_accepted(None, paid("t1", shop="s1", terminal=7), at(b.SOURCE))
    assert state is not None
    _, by_shop = on_rekeyed(None, arrived(own), at(SHOP))
    _, by_terminal = on_rekeyed(None, arrived(by_shop), at(TERMINAL))
    assert [scored(outputs) for outputs in (own, by_shop, by_terminal)] == [[b.MODEL], ["shop_only"], ["all"]]
    assert [sent_on(outputs)[1].models for outputs in (own, by_shop)] == [("all", "shop_only"), ("all",)]
    assert not [o for o in by_terminal if isinstance(o, Publish) and isinstance(o.event, RecordRekeyed)]
    assert [[row.view for row in windows_of(o)] for o in (own, by_shop, by_terminal)] == [
        [b.VIEW], ["by_shop"], ["by_terminal"],
    ]  # fmt: skip


def test_it_takes_along_what_was_known_of_each_entity_before_it() -> None:
    held: dict[tuple[str, str], EntityState | None] = {}
    computed: list[InputsComputed] = []
    for n, (shop, terminal) in enumerate([("s1", 7), ("s1", 8), ("s1", 8), ("s2", 8)]):
        message = paid(f"t{n}", b.T0_MS + n, shop=shop, terminal=terminal)
        held["card", "c1"], outputs = on_accepted(held.get(("card", "c1")), message, at(b.SOURCE))
        for subject in (SHOP, TERMINAL):
            message = arrived(outputs)
            where = subject, message.key
            held[where], outputs = on_rekeyed(held.get(where), message, at(subject))
        computed += inputs_of(outputs)
    names = (f"{b.VIEW}.count_24h", "by_shop.n", "by_terminal.n", "more")
    assert [tuple(event.inputs[name] for name in names) for event in computed] == [
        (0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 0.0, 1.0), (2.0, 2.0, 1.0, 1.0), (3.0, 0.0, 2.0, -2.0),
    ]  # fmt: skip
    assert {(event.entity, event.late) for event in computed} == {("c1", False)}


def test_only_what_is_needed_further_on_goes_along() -> None:
    _, own = on_accepted(None, paid("t1", shop="s1", terminal=7), at(b.SOURCE, SOURCE, BY_SHOP, SHOP_ONLY))
    assert sent_on(own)[1].features == {}
    _, own = on_accepted(None, paid("t1", shop="s1", terminal=7), at(b.SOURCE))
    assert sent_on(own)[1].features == {f"{b.VIEW}.spend_mean_1h": None, f"{b.VIEW}.count_24h": 0.0}


@pytest.mark.parametrize(("value", "name"), [("7", "7"), (7, "7"), (7.0, "7"), (-3, "-3")])
def test_a_number_is_called_by_its_text_as_keys_are(value: object, name: str) -> None:
    by_terminal = (SOURCE, BY_TERMINAL)
    _, own = on_accepted(None, paid("t1", terminal=value), at(b.SOURCE, *by_terminal))
    publish, event = sent_on(own)
    assert (publish.topic, publish.key, event.entity) == (ENTITY.of(TERMINAL), name, name)
    _, outputs = on_rekeyed(None, arrived(own), at(TERMINAL, *by_terminal))
    assert [row.entity for row in windows_of(outputs)] == [name]


@pytest.mark.parametrize("place", [{}, {"shop": None}, {"shop": ""}], ids=["absent", "null", "empty"])
def test_a_record_that_names_nobody_has_the_features_of_no_events_and_leaves_no_trace(place: dict[str, Any]) -> None:
    _, own = on_accepted(None, paid("t1", **place), at(b.SOURCE))
    publish, event = sent_on(own)
    assert (publish.key, event.key, event.entity) == ("c1", "c1", None)
    # A shop that happens to be called like the card.
    named, _ = on_rekeyed(
        None, arrived(on_accepted(None, paid("t0", b.T0_MS - 1, shop="c1"), at(b.SOURCE))[1]), at(SHOP)
    )
    after, outputs = on_rekeyed(named, arrived(own), at(SHOP))
    assert after is named
    [computed] = inputs_of(outputs)
    assert (computed.model, computed.inputs["by_shop.n"]) == ("shop_only", 0.0)
    assert windows_of(outputs) == []
    assert not [o for o in outputs if isinstance(o, SetTimer)]
    assert sent_on(outputs)[1].models == ("all",)


def test_inputs_go_to_the_partition_of_the_records_key_wherever_they_come_from() -> None:
    context = at(SHOP)
    for n in range(20):
        event = b.rekeyed(record_id=f"t{n}", key=f"card-{n}", entity="s1", models=["shop_only"], features={})
        message = Message(f"t{n}", "features/compute", b.T0_MS, "s1", event, 1, 2)
        _, outputs = on_rekeyed(None, message, context)
        rows = prepare(context.task, message, outputs, 2, lambda where: 0).rows
        [partition] = [p for topic, p, _ in rows if topic == SCORING.of("shop_only").name]
        assert partition == partition_of(f"card-{n}".encode(), 4)
        [publish] = [o for o in outputs if isinstance(o, Publish) and isinstance(o.event, InputsComputed)]
        assert publish.key == f"card-{n}"


def test_a_model_that_was_defined_while_a_record_was_on_its_way_begins_with_a_later_one() -> None:
    _, own = on_accepted(None, paid("t1", shop="s1", terminal=7), at(b.SOURCE, SOURCE, BY_SHOP))
    assert sent_on(own)[1].models == ()
    state, outputs = on_rekeyed(None, arrived(own), at(SHOP))
    assert scored(outputs) == []
    assert sent_on(outputs)[1].models == ()
    assert windows_of(outputs), "its windows count all the same"
    _, later = on_accepted(None, paid("t2", b.T0_MS + 1, shop="s1", terminal=7), at(b.SOURCE))
    _, outputs = on_rekeyed(state, arrived(later), at(SHOP))
    assert [(event.model, event.inputs["by_shop.n"]) for event in inputs_of(outputs)] == [("shop_only", 1.0)]


def test_a_late_record_stays_marked_on_its_way() -> None:
    message = paid("t1", shop="s1", terminal=7)
    late = Message("t1", "test", b.T0_MS, "c1", message.event.model_copy(update={"late": True}), 1, 2)
    _, own = on_accepted(None, late, at(b.SOURCE))
    _, by_shop = on_rekeyed(None, arrived(own), at(SHOP))
    assert sent_on(by_shop)[1].late
    assert [event.late for event in inputs_of(by_shop)] == [True]


def test_views_by_one_entity_are_kept_together_and_forgotten_together() -> None:
    second = b.view(
        name="shop_spend", entity="shop", features={"s": {"aggregate": "sum", "of": "amount", "over": "2h"}}
    )
    context = at(SHOP, *DECLARED, second)
    _, own = on_accepted(None, paid("t1", shop="s1"), at(b.SOURCE, *DECLARED, second))
    state, outputs = on_rekeyed(None, arrived(own), context)
    rows = {row.view: WindowState.from_json(row.state) for row in windows_of(outputs)}
    assert evaluate(second, rows["shop_spend"], b.T0_MS + 1) == {"s": 10.0}
    timer = outputs[-1]
    assert timer == SetTimer("look", b.T0_MS + 2 * HOUR_MS)
    assert isinstance(timer, SetTimer)
    gone, outputs = on_look(state, Due("id", "s1", "look", timer.due_ms), context)
    assert gone is None
    assert [(row.view, row.entity, row.state) for row in windows_of(outputs)] == [
        ("by_shop", "s1", {}), ("shop_spend", "s1", {}),
    ]  # fmt: skip


def test_the_state_in_an_entitys_log_belongs_to_the_entity() -> None:
    message = Message("t1", "features/compute", b.T0_MS, "s1", b.rekeyed(entity="s1"), 1, 2)
    assert compute_step().key_of(message) == "s1"


def test_events_of_another_kind_are_told_with_their_id() -> None:
    wrong: EntityState | None = None
    with pytest.raises(TypeError, match="compute reads RecordRekeyed, found RecordAccepted in event t1"):
        on_rekeyed(wrong, paid("t1"), at(SHOP))
