"""Accepted records in, inputs as of each and the changed windows out."""

from __future__ import annotations

from pydantic import TypeAdapter

from services.features.compute import compute_step, on_look
from services.features.entity_state import STATE
from services.features.stage_plan import plan_of
from shared.contracts.topics import FEATURES, SCORING
from shared.inputs.windows import WindowState, evaluate
from shared.runtime.step import Due, Publish, SetTimer
from tests import builders as b
from tests.unit.features.calls import CONTEXT, HOUR_MS, compute, context, inputs_of, record, windows_of

MEAN, COUNT = f"{b.VIEW}.spend_mean_1h", f"{b.VIEW}.count_24h"
DAY_MS = 24 * HOUR_MS


def test_the_first_record_of_an_entity_sees_no_window_and_then_counts() -> None:
    state, outputs = compute(None, record("t1", b.T0_MS, amount=12.5))
    scored, row, timer = outputs
    assert isinstance(scored, Publish)
    assert (scored.topic, scored.key, scored.time_ms) == (SCORING.of(b.MODEL), "c1", b.T0_MS)
    assert inputs_of(outputs)[0].inputs == {"amount": 12.5, "category": "food", "hour": 14.0, MEAN: None, COUNT: 0.0}
    assert isinstance(row, Publish)
    assert (row.topic, row.key, row.time_ms) == (FEATURES.of(b.VIEW), "c1", b.T0_MS)
    known = evaluate(b.view(), WindowState.from_json(windows_of(outputs)[0].state), b.T0_MS + 1)
    assert known == {"spend_mean_1h": 12.5, "count_24h": 1.0}
    assert timer == SetTimer("look", b.T0_MS + DAY_MS)
    assert state is not None


def test_inputs_are_of_the_windows_before_the_record_at_its_event_time() -> None:
    state, _ = compute(None, record("t1", b.T0_MS, amount=10))
    state, outputs = compute(state, record("t2", b.T0_MS + 60_000, amount=20))
    assert (inputs_of(outputs)[0].inputs[MEAN], inputs_of(outputs)[0].inputs[COUNT]) == (10.0, 1.0)
    state, outputs = compute(state, record("t3", b.T0_MS + HOUR_MS + 1, amount=40))
    assert (inputs_of(outputs)[0].inputs[MEAN], inputs_of(outputs)[0].inputs[COUNT]) == (20.0, 2.0)
    assert not [o for o in outputs if isinstance(o, SetTimer)]


def test_a_record_of_equal_time_is_not_seen_by_the_other() -> None:
    state, _ = compute(None, record("t1", b.T0_MS))
    _, outputs = compute(state, record("t2", b.T0_MS))
    assert inputs_of(outputs)[0].inputs[COUNT] == 0.0


def test_a_late_record_is_scored_at_its_own_time_and_marked() -> None:
    state, _ = compute(None, record("t1", b.T0_MS))
    state, _ = compute(state, record("t2", b.T0_MS + HOUR_MS // 2))
    _, outputs = compute(state, record("t0", b.T0_MS + 1, late=True))
    [event] = inputs_of(outputs)
    assert (event.late, event.inputs[COUNT]) == (True, 1.0)
    after = WindowState.from_json(windows_of(outputs)[0].state)
    assert evaluate(b.view(), after, b.T0_MS + HOUR_MS)["count_24h"] == 3.0


def test_each_model_in_mode_stream_gets_its_own_inputs() -> None:
    second = b.model(name="spend", inputs={"derived": {"twice": "amount * 2"}})
    asked = b.model(name="asked", mode="request")
    _, outputs = compute(None, record("t1", b.T0_MS), context(second, asked))
    assert [(event.model, event.inputs.get("twice")) for event in inputs_of(outputs)] == [
        (b.MODEL, None),
        ("spend", 20.0),
    ]


def test_a_new_view_begins_empty_beside_those_that_are_held() -> None:
    state, _ = compute(None, record("t1", b.T0_MS))
    other = b.view(name="young", features={"n": {"aggregate": "count", "over": "1h"}})
    state, outputs = compute(state, record("t2", b.T0_MS + 1), context(other))
    by_view = {row.view: WindowState.from_json(row.state) for row in windows_of(outputs)}
    assert evaluate(other, by_view["young"], b.T0_MS + 2) == {"n": 1.0}
    assert evaluate(b.view(), by_view[b.VIEW], b.T0_MS + 2)["count_24h"] == 2.0


def test_an_entity_is_looked_at_again_while_its_windows_are_of_use() -> None:
    state, [*_, timer] = compute(None, record("t1", b.T0_MS))
    assert isinstance(timer, SetTimer)
    state, _ = compute(state, record("t2", b.T0_MS + HOUR_MS))
    state, outputs = on_look(state, Due("id", "c1", "look", timer.due_ms), CONTEXT)
    assert outputs == [SetTimer("look", b.T0_MS + HOUR_MS + DAY_MS)]
    assert state is not None


def test_an_entity_without_use_is_forgotten_and_its_rows_say_so() -> None:
    state, [*_, timer] = compute(None, record("t1", b.T0_MS))
    assert isinstance(timer, SetTimer)
    state, outputs = on_look(state, Due("id", "c1", "look", timer.due_ms), CONTEXT)
    assert state is None
    assert windows_of(outputs) == [b.windows(state={})]


def test_the_state_goes_on_after_it_was_stored() -> None:
    codec = TypeAdapter(STATE)
    stored, kept = None, None
    for n in range(20):
        message = record(f"t{n}", b.T0_MS + n * 400_000, amount=n / 3)
        kept, expected = compute(kept, message)
        state, outputs = compute(stored, message)
        assert outputs == expected
        assert state is not None
        stored = codec.validate_json(codec.dump_json(state))


def test_plans_are_worked_out_once_for_each_set_of_definitions() -> None:
    definitions = CONTEXT.platform.definitions
    assert plan_of(definitions, b.SOURCE) is plan_of(definitions, b.SOURCE)
    assert plan_of(context().platform.definitions, b.SOURCE) is not plan_of(definitions, b.SOURCE)


def test_the_state_belongs_to_the_records_key() -> None:
    assert compute_step().key_of(record("t1", b.T0_MS, key="c7")) == "c7"
