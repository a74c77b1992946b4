"""A dead letter that comes back: for its task alone, once, late if time has passed it; and a timer that fires again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.contracts.envelope import Message
from shared.contracts.flow import (
    InputsComputed,
    LabelObserved,
    OutcomeScored,
    PredictionMade,
    RecordAccepted,
    RecordRekeyed,
    TimerReplayed,
)
from shared.runtime.acceptance import Acceptance
from shared.runtime.dead_letters import came_with, dead_letter
from shared.runtime.replayed_events import as_of_now
from shared.runtime.step import Context, Due, Output, Publish, Step, Wait
from shared.runtime.task_file import TaskFile
from tests import builders as b
from tests.unit.runtime.toy_task import (
    OUTCOMES_TOPIC,
    STEP,
    both_marked,
    entry,
    events,
    history,
    marks,
    open_task,
    predicted,
    seen,
    spec,
    take,
)

T0 = b.T0_MS


def replayed(name: str, to: str | None = None, event_id: str = "", time_ms: int = T0, **over: Any) -> Message:
    event = b.prediction(record_id=name)
    made = b.message(event, source="headrace/console/0", key="k", time_ms=time_ms, replay_for=to or spec().id, **over)
    return replace(made, id=event_id or f"replay of {name}")


def timer(due_ms: int, key: str = "k", event_id: str = "e1", name: str = "due:x") -> Message:
    made = b.message(TimerReplayed(name=name, due_ms=due_ms), key=key, time_ms=due_ms, replay_for=spec().id)
    return replace(made, id=event_id)


def test_what_is_replayed_counts_for_its_task_alone() -> None:
    task = open_task()
    take(task, replayed("r1"), replayed("r2", to="monitoring/join/joins.card_fraud.v1/7"), predicted(1))
    assert seen(task) == ["r1", "r1"]
    assert (task.counts.read, task.counts.skipped) == (2, 1)


def test_the_same_letter_twice_counts_once_also_after_a_restart() -> None:
    file = TaskFile("join", None)
    task = open_task(file)
    take(task, replayed("r1"), replayed("r1"))
    again = open_task(file)
    take(again, replayed("r1"), replayed("r1", event_id="of another letter"))
    assert seen(again) == ["r1", "r1"]
    assert (task.counts.skipped, again.counts.skipped) == (1, 1)


def test_it_takes_no_sequence_and_what_it_leads_to_takes_the_next() -> None:
    task = open_task()
    take(task, predicted(1), replayed("r9"), predicted(2))
    assert [message.sequence for message in events(task)] == [1, 2, 3]
    assert len({message.id for message in events(task)}) == 3
    assert seen(task) == ["r1", "r9", "r2"]


def test_one_that_has_to_wait_is_taken_once_when_it_can_be() -> None:
    waits = [Wait("not yet"), None]

    def ready(message: Message, context: Context) -> Wait | None:
        return waits.pop(0)

    task = open_task(known=history(), step=replace(STEP, ready=ready))
    assert take(task, replayed("r1")) == 0
    assert seen(task) == []
    assert take(task, replayed("r1")) == 1
    assert seen(task) == ["r1"]
    assert take(open_task(), replayed("r1", control=3)) == 0  # control.v1 is read up to 2


def test_readers_without_a_task_pass_over_it() -> None:
    acceptance = Acceptance()
    assert not acceptance.accepts(replayed("r1"))
    assert acceptance.accepts(replace(replayed("r1"), replay_for=None))


@pytest.mark.parametrize(
    "event", [b.accepted(late=False), b.label(late=False), b.computed(late=False), b.rekeyed(late=False)]
)
def test_behind_the_watermark_it_is_late_and_known_since_then(event: Any) -> None:
    message = b.message(event, replay_for="task")
    assert as_of_now(message, T0) == message
    late = as_of_now(message, T0 + 1).event
    assert isinstance(late, RecordAccepted | LabelObserved | InputsComputed | RecordRekeyed)
    assert late.late
    if isinstance(late, RecordAccepted | LabelObserved):
        assert late.known_ms == T0 + 1
    assert late.model_copy(update={"late": False, "known_ms": None}) == event.model_copy(update={"known_ms": None})


def test_what_was_late_already_stays_as_it_is() -> None:
    message = b.message(b.accepted(late=True, known_ms=T0 - 5), replay_for="task")
    assert as_of_now(message, T0 + 1) == message


def test_a_replayed_timer_fires_now_and_not_behind_the_watermark() -> None:
    task = open_task()
    take(task, *both_marked(T0 + 100), timer(T0 + 40))
    assert seen(task) == ["due 100"]
    [made] = events(task)
    assert made.time_ms == T0 + 100 == marks(task)[0].watermark_ms
    take(task, timer(T0 + 40))
    assert seen(task) == ["due 100"]


def test_a_timer_that_was_set_anew_is_left_alone() -> None:
    task = open_task()
    take(task, *both_marked(T0 + 100), predicted(1, entity=f"due:{T0 + 150}"), timer(T0 + 40))
    assert seen(task) == ["r1"]
    take(task, *both_marked(T0 + 200, predictions=1))
    assert seen(task) == ["r1", "due 150"]


def test_what_fails_again_is_a_letter_of_its_own() -> None:
    task = open_task()
    failing = replace(replayed("r1"), event=b.prediction(record_id="r1", entity="raise"))
    take(task, failing)
    [letter] = [row for row in task.file.outbox() if row.topic == "monitoring.dead.v1"]
    original = dead_letter(spec(), entry(predicted(1), 5), ValueError(), "", None, 1_000_000).encoded
    ids = {dict(headers)["headrace_dead_id"] for headers in (letter.headers, original.headers)}
    assert len(ids) == 2
    assert dict(letter.headers)["ce_replayfor"].decode() == spec().id


def test_a_timers_letter_says_when_it_was_due_and_fails_again_under_another_id() -> None:
    def fails(state: Any, due: Due, context: Context) -> tuple[Any, list[Output]]:
        raise ValueError("no good")

    task = open_task(step=replace(STEP, timers={"due": fails}))
    take(task, predicted(1, entity=f"due:{T0 + 5}"), *both_marked(T0 + 9, predictions=1), timer(T0 + 5))
    first, second = [dict(row.headers) for row in task.file.outbox() if row.topic == "monitoring.dead.v1"]
    assert first["headrace_timer_due_ms"] == b"%d" % (T0 + 5)
    assert second["headrace_timer_due_ms"] == b"%d" % (T0 + 9)
    assert first["headrace_dead_id"] != second["headrace_dead_id"]


def test_a_letter_tells_its_own_headers_from_those_that_its_record_came_with() -> None:
    """Even of a record that is somebody's dead letter itself."""
    record = entry(predicted(1), 0)
    letter = dead_letter(spec(), record, ValueError(), "", None, 1_000_000).encoded
    assert came_with(letter.headers) == record.headers
    of_letter = replace(record, headers=letter.headers)
    again = dead_letter(spec(), of_letter, ValueError(), "", None, 1_000_000).encoded
    assert came_with(again.headers) == letter.headers


def test_a_step_sees_its_time_as_it_was() -> None:
    """Lateness is told by the flag: the event time of what is replayed does not move."""

    def passes(state: Any, message: Message, context: Context) -> tuple[None, list[Output]]:
        assert isinstance(message.event, PredictionMade)
        scored = OutcomeScored(prediction=message.event, scored_ms=message.time_ms)
        return None, [Publish(OUTCOMES_TOPIC, message.key, scored, max(message.time_ms, context.watermark_ms))]

    task = open_task(step=Step("join", None, {PredictionMade: passes}))
    take(task, *both_marked(T0 + 100), replayed("r1", time_ms=T0 + 7))
    [made] = events(task)
    assert isinstance(made.event, OutcomeScored)
    assert (made.event.scored_ms, made.time_ms) == (T0 + 7, T0 + 100)
