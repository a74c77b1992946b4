"""What counts: fits, not seen before; late ones pass, marked. The same whatever the batches."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingestion.accept import accept_step, on_forget
from shared.contracts.envelope import Encoded, Mark, Message, decode, encode, encode_mark
from shared.contracts.flow import IntakeRecord, RecordAccepted, RejectReason
from shared.contracts.topics import CONTROL, RECORDS
from shared.runtime.history import ControlHistory
from shared.runtime.log import LogRecord
from shared.runtime.step import Append, Due, SetTimer
from shared.runtime.task import Task
from shared.runtime.task_file import TaskFile
from tests import builders as b
from tests.unit.ingestion.calls import accept, context, published, rejection, value

DAY_MS = 86_400_000
LENIENT = {"field": "at", "clock": "events", "allowed_lateness": "1m"}


def test_a_record_that_fits_is_accepted_archived_and_remembered() -> None:
    seen, [first, row, timer] = accept(None, b.intake())
    sent = published(first)
    assert seen == 1
    assert (sent.topic, sent.key, sent.time_ms) == (RECORDS.of(b.SOURCE), "c1", b.T0_MS)
    assert sent.event == b.accepted()
    assert timer == SetTimer("forget", b.T0_MS + 7 * DAY_MS)
    assert isinstance(row, Append)
    record_id, key, time_ms, late, text, *where = orjson.loads(row.row)
    assert (record_id, key, time_ms, late, orjson.loads(text)) == ("t1", "c1", b.T0_MS, False, value())
    assert where == [b.SOURCE, 0, 0]


def test_the_same_id_again_counts_as_a_duplicate_whatever_it_says() -> None:
    assert accept(1, b.intake(data='{"nothing": "fits"}')) == (2, [])


def test_an_id_that_was_rejected_may_be_mended() -> None:
    bad = b.intake(data=orjson.dumps(value(amount="x")).decode())
    seen, [output] = accept(None, bad)
    assert seen is None
    assert rejection(output).reason is RejectReason.WRONG_TYPE
    assert accept(seen, b.intake())[0] == 1


def late(newest_ms: int | None, source: Any = None, **over: Any) -> bool:
    _, outputs = accept(None, b.intake(newest_ms=newest_ms), source=source, **over)
    event = published(outputs[0]).event
    assert isinstance(event, RecordAccepted)
    return event.late


def test_late_is_what_is_behind_the_newest_of_its_partition_by_more_than_the_allowance() -> None:
    lenient = b.source(time=LENIENT)
    assert not late(None)
    assert not late(b.T0_MS)
    assert late(b.T0_MS + 1)
    assert not late(b.T0_MS + 60_000, lenient)
    assert late(b.T0_MS + 60_001, lenient)


def test_late_is_what_is_behind_the_watermark() -> None:
    assert late(None, watermark_ms=b.T0_MS + 1)
    assert not late(None, watermark_ms=b.T0_MS)


def test_a_late_id_is_remembered_from_when_it_came() -> None:
    _, outputs = accept(None, b.intake(), watermark_ms=b.T0_MS + 30 * DAY_MS)
    assert outputs[-1] == SetTimer("forget", b.T0_MS + 37 * DAY_MS)


def test_a_forgotten_id_leaves_nothing() -> None:
    assert on_forget(3, Due("id", "t1", "forget", 0), context("accept")) == (None, [])


# --- the step in a task: batches, repetitions, time


def control() -> ControlHistory:
    history = ControlHistory()
    for event in (b.founded(), b.applied()):
        entry = encode(b.message(event))
        history.append(LogRecord(CONTROL.name, 0, history.position, 0, entry.key, entry.value, entry.headers))
    return history


CONTROL_LOG = control()
WRITER = f"ingestion/intake/{b.SOURCE}/0"


def log_of(entries: list[tuple[str, str, int, int]]) -> list[LogRecord]:
    """A log of intake: (id, category, event time, mark after it) each, as the head step would write it."""
    made: list[Encoded] = []
    for n, (record_id, category, time_ms, watermark_ms) in enumerate(entries, 1):
        data = orjson.dumps(value(transaction_id=record_id, at=time_ms, category=category)).decode()
        record = b.intake(record_id=record_id, offset=n - 1, data=data)
        made.append(encode(Message(f"e{n}", WRITER, time_ms, "c1", record, n, 2)))
        made.append(encode_mark(Mark(WRITER, n, watermark_ms, 2)))
    return [LogRecord("intake", 0, i, 0, e.key, e.value, e.headers) for i, e in enumerate(made)]


def derived(log: list[LogRecord], cuts: list[int]) -> tuple[list[tuple[Any, ...]], dict[str, int]]:
    """Rows of the outbox but for marks, and the archive's length, of a task that takes the log in these batches."""
    spec = context("accept").task
    task = Task(spec, accept_step(), TaskFile("t", None), CONTROL_LOG)
    bounds = [0, *sorted(cuts), len(log)]
    for i in range(len(bounds) - 1):
        batch = log[bounds[i] : bounds[i + 1]]
        # A driver hands over again what was fetched twice.
        task.process([*log[max(0, bounds[i] - 3) : bounds[i]], *batch], float(i))
    rows = [(row.topic, row.partition, row.value, row.headers) for row in task.unsent]
    return [row for row in rows if row[2]], task.buffer_ends


ENTRIES = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["food", "web", "toys"]), st.integers(0, 12)), max_size=30
)


@settings(deadline=None, max_examples=60)
@given(ENTRIES, st.data())
def test_the_same_ids_are_accepted_whatever_the_batches(
    entries: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    newest = 0
    timed: list[tuple[str, str, int, int]] = []
    for record_id, category, day in entries:
        newest = max(newest, day)
        timed.append((record_id, category, b.T0_MS + day * DAY_MS, b.T0_MS + newest * DAY_MS))
    log = log_of(timed)
    cuts = data.draw(st.lists(st.integers(0, len(log)), max_size=6))
    rows, ends = derived(log, cuts)
    assert (rows, ends) == derived(log, [])
    events = [decode(b"", row[2], row[3]) for row in rows]
    ids = [m.event.record_id for m in events if isinstance(m, Message) and isinstance(m.event, RecordAccepted)]
    assert ids == expected_ids(timed)


def expected_ids(timed: list[tuple[str, str, int, int]]) -> list[str]:
    forgotten_at: dict[str, int] = {}
    found: list[str] = []
    watermark_ms = -(1 << 62)
    for record_id, category, time_ms, after_ms in timed:
        held = forgotten_at.get(record_id)
        if (held is None or watermark_ms > held) and category != "toys":
            found.append(record_id)
            forgotten_at[record_id] = max(time_ms, watermark_ms) + 7 * DAY_MS
        watermark_ms = after_ms
    return found


def test_the_event_of_another_step_goes_to_the_dead_letters() -> None:
    assert accept_step().handler(b.message(b.accepted())) is None
    assert accept_step().key_of(b.message(b.intake(record_id="t9"), key="c1")) == "t9"
    assert isinstance(b.intake(), IntakeRecord)
