"""Tasks at the head: how the clock and the control log come into the data, and tasks on control.v1."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.contracts.definitions import Source
from shared.contracts.envelope import NEVER_MS, Message
from shared.contracts.identity import record_cause
from shared.contracts.topics import INTAKE
from shared.runtime.control_task import ControlTask
from shared.runtime.head_task import HeadTask
from shared.runtime.history import ControlHistory
from shared.runtime.log import LogRecord
from shared.runtime.step import Context, Output, Publish, Raw, Step
from shared.runtime.task_file import TaskFile
from tests import builders as b
from tests.unit.runtime.toy_task import control_log, entry, events, history, marks, wall_source

T0 = b.T0_MS
EVENTS_SOURCE = b.source(time={"field": "at", "clock": "events", "allowed_lateness": "5s"})


def on_raw(state: dict[str, int] | None, raw: Raw, context: Context) -> tuple[dict[str, int], list[Output]]:
    """The value of a record is its event time."""
    time_ms = int(raw.record.value or b"0")
    taken = b.intake(record_id=str(time_ms))
    newest_ms = max(time_ms, (state or {}).get("newest_ms", time_ms))
    return {"newest_ms": newest_ms}, [
        Publish(INTAKE.of(b.SOURCE), "card", taken, time_ms, first_cause=record_cause(b.SOURCE, taken.record_id))
    ]


def newest_ms(state: dict[str, int] | None) -> int | None:
    return None if state is None else state["newest_ms"]


HEAD = Step("intake", dict[str, int], raw=on_raw, newest_ms=newest_ms)


def head(source: Source, known: ControlHistory, file: TaskFile | None = None, step: Step = HEAD) -> HeadTask:
    spec = next(t for t in b.definitions(source).tasks if t.step == "intake" and t.subject == b.SOURCE)
    return HeadTask(spec, step, file or TaskFile("intake", None), known)


def declared(source: Source) -> list[Any]:
    return [source, *b.declared()[1:]]


def record(offset: int, time_ms: int) -> LogRecord:
    return LogRecord(b.SOURCE, 0, offset, T0, None, str(time_ms).encode(), ())


class Topic:
    """What the reader can prove about the head's topic."""

    def __init__(self) -> None:
        self.now = 0
        self.proved = -1

    def token(self) -> int:
        return self.now

    def end_reached(self, token: int) -> bool:
        return self.proved >= token


def test_the_watermark_is_the_newest_event_time_less_the_lateness() -> None:
    task = head(EVENTS_SOURCE, history(definitions=declared(EVENTS_SOURCE)))
    task.process([record(0, T0 + 9_000), record(1, T0 + 2_000)], 1.0)
    assert task.watermark_ms == T0 + 4_000
    assert [(mark.watermark_ms, mark.control, mark.sequence) for mark in marks(task)] == [(T0 + 4_000, 2, 2)]


def test_the_first_record_is_taken_under_the_definition_of_its_source() -> None:
    task = head(EVENTS_SOURCE, history(b.tick(), definitions=declared(EVENTS_SOURCE)))
    task.process([record(0, T0)], 1.0)
    assert [message.control for message in events(task)] == [2]


def test_a_record_published_twice_leads_to_the_same_ids_at_another_offset_of_another_task() -> None:
    known = history(definitions=declared(EVENTS_SOURCE))
    task, other = head(EVENTS_SOURCE, known), head(EVENTS_SOURCE, known)
    other.spec = replace(other.spec, partition=1)
    task.process([record(0, T0), record(1, T0), record(2, T0 + 1)], 1.0)
    other.process([record(0, T0)], 1.0)
    first, again, next_one = (message.id for message in events(task))
    assert (first, first) == (again, events(other)[0].id)
    assert next_one != first


def test_a_head_step_that_names_no_cause_buries_the_record_rather_than_give_it_an_id_of_its_place() -> None:
    def nameless(state: Any, raw: Raw, context: Context) -> tuple[Any, list[Output]]:
        return {"newest_ms": T0}, [Publish(INTAKE.of(b.SOURCE), "card", b.intake(), T0)]

    step = Step("intake", dict[str, int], raw=nameless, newest_ms=newest_ms)
    task = head(EVENTS_SOURCE, history(definitions=declared(EVENTS_SOURCE)), step=step)
    task.process([record(0, T0)], 1.0)
    assert (task.counts.dead, events(task)) == (1, [])


def test_a_wall_tick_is_marked_only_after_a_fetch_that_began_later_reached_the_end() -> None:
    known, topic = history(definitions=declared(wall_source())), Topic()
    task = head(wall_source(), known)
    topic.now, topic.proved = 3, 3  # the end known from before the tick proves nothing
    task.observe(topic.token, topic.end_reached)
    known.append(entry(b.message(b.tick(), time_ms=T0 + 60_000), 2, "control.v1"))
    task.observe(topic.token, topic.end_reached)
    topic.now = 4
    assert task.watermark_ms == NEVER_MS
    topic.proved = 2
    task.observe(topic.token, topic.end_reached)
    assert task.watermark_ms == NEVER_MS
    topic.proved = 4
    task.observe(topic.token, topic.end_reached)
    assert task.watermark_ms == T0 + 55_000
    assert task.control == 3


def test_ticks_of_the_wall_move_no_clock_of_events_and_the_other_way_round() -> None:
    known = history(definitions=declared(EVENTS_SOURCE))
    known.append(entry(b.message(b.tick(), time_ms=T0 + 60_000), 2, "control.v1"))
    topic = Topic()
    topic.proved = 99
    task = head(EVENTS_SOURCE, known)
    for _ in range(3):
        task.observe(topic.token, topic.end_reached)
    assert (task.watermark_ms, task.control) == (NEVER_MS, 2)


def ticked(known: ControlHistory, time_ms: int, end: int, adopt: int) -> None:
    tick = b.tick(b.SOURCE, ends={b.SOURCE: {0: end}}, adopt=adopt)
    known.append(entry(b.message(tick, time_ms=time_ms), known.position, "control.v1"))


def test_a_tick_of_events_counts_only_once_the_ends_that_it_names_are_reached() -> None:
    known, topic = history(definitions=declared(EVENTS_SOURCE)), Topic()
    task = head(EVENTS_SOURCE, known)
    ticked(known, T0 + 60_000, end=2, adopt=3)
    task.process([record(0, T0)], 1.0)
    task.observe(topic.token, topic.end_reached)
    assert (task.watermark_ms, task.control, task.awaits_tick) == (T0 - 5_000, 2, True)
    task.process([record(1, T0 + 1_000)], 2.0)
    task.observe(topic.token, topic.end_reached)
    assert (task.watermark_ms, task.control, task.awaits_tick) == (T0 + 55_000, 3, False)


def test_heads_of_events_adopt_what_the_tick_names_and_nothing_newer() -> None:
    known, topic = history(definitions=declared(EVENTS_SOURCE)), Topic()
    task = head(EVENTS_SOURCE, known)
    for n in range(4):
        known.append(entry(b.message(b.tick("x", sources=(f"x{n}",))), known.position, "control.v1"))
    ticked(known, T0, end=0, adopt=4)
    task.observe(topic.token, topic.end_reached)
    task.process([record(0, T0)], 1.0)
    assert ([message.control for message in events(task)], known.position) == ([4], 7)


def test_heads_of_the_wall_show_control_as_far_as_it_is_read() -> None:
    known, topic = history(b.tick("x"), definitions=declared(wall_source())), Topic()
    task = head(wall_source(), known)
    task.observe(topic.token, topic.end_reached)
    assert task.say(1.0)
    assert [mark.control for mark in marks(task)] == [3]


def test_what_a_head_has_said_outlives_its_process() -> None:
    known, topic, file = history(definitions=declared(EVENTS_SOURCE)), Topic(), TaskFile("intake", None)
    task = head(EVENTS_SOURCE, known, file)
    ticked(known, T0 + 60_000, end=0, adopt=3)
    task.observe(topic.token, topic.end_reached)
    task.say(1.0)
    again = head(EVENTS_SOURCE, known, file)
    again.process([record(0, T0)], 2.0)
    assert (again.watermark_ms, again.control) == (T0 + 55_000, 3)


# --- tasks on control.v1


def on_tick(state: list[int] | None, message: Message, context: Context) -> tuple[list[int], list[Output]]:
    return [*(state or []), context.platform.position], []


CONTROL_STEP = Step("decide", list[int], {type(b.tick()): on_tick}, key=lambda message: "platform")


def control_task(known: ControlHistory, file: TaskFile | None = None) -> ControlTask:
    spec = next(t for t in b.definitions().tasks if t.service == "registry")
    return ControlTask(spec, CONTROL_STEP, file or TaskFile("decide", None), known)


def test_each_entry_of_control_shows_itself() -> None:
    known = history(b.tick(), b.tick("x"))
    task = control_task(known)
    assert task.behind == 4
    task.advance(3, 0.0)
    assert (task.position, task.state("platform")) == (3, [3])
    task.advance(9, 0.0)
    assert (task.state("platform"), task.behind, task.unsaid) == ([3, 4], 0, False)


def test_repetitions_in_control_are_passed_over_by_everyone_alike() -> None:
    known = ControlHistory()
    for item in control_log(b.tick(), b.tick(), b.tick("x")):
        known.append(item)
    task = control_task(known)
    task.advance(9, 0.0)
    assert (task.state("platform"), task.counts.skipped, task.position) == ([3, 5], 1, 5)


def test_a_control_task_waits_while_its_file_is_ahead_of_what_is_read() -> None:
    file, log = TaskFile("decide", None), control_log(b.tick(), b.tick("x"))
    control_task(history(b.tick(), b.tick("x")), file).advance(9, 0.0)
    known = ControlHistory()
    again = control_task(known, file)
    for item in log:
        assert (again.behind, again.advance(9, 0.0)) == (0, 0)
        known.append(item)
    assert again.behind == 0
