"""Decided outcomes in segments, and read back by whoever trains on them."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.monitoring.archive import archive
from shared.contracts.control import SegmentWritten
from shared.contracts.envelope import Mark, decode
from shared.contracts.topics import OUTCOMES
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.decided_outcomes import DecidedOutcomes
from shared.runtime.history import ControlHistory
from shared.runtime.log import LogRecord, TopicPartition
from shared.runtime.memory_log import MemoryBroker
from shared.runtime.outcome_segments import decode_rows, encode_rows
from shared.runtime.outside import OutsideWriter
from shared.runtime.task import Task
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, decide, history

T = b.T0_MS
LOG = TopicPartition(OUTCOMES.of(b.MODEL).name, 0)
ROWS = 10


class Inline:
    """Runs what is submitted at once."""

    def submit(self, fn: Any, /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args))
        return future

    now_s = staticmethod(lambda: 0.0)


@dataclass
class Around:
    """What a worker and a follower use of their process."""

    history: ControlHistory
    tasks: dict[str, Task]
    artifacts: ArtifactStore = field(default_factory=lambda: ArtifactStore.at("memory:"))
    outside: OutsideWriter = field(default_factory=lambda: OutsideWriter("test"))
    executor: Inline = field(default_factory=Inline)
    clock: Inline = field(default_factory=Inline)

    def deliver(self) -> list[SegmentWritten]:
        """What was published enters the control log."""
        broker = MemoryBroker()
        broker.admin().create("control.v1", 1, {})
        writer = broker.writer()
        self.outside.send(writer)
        writer.drain(0.0)
        reader = broker.reader()
        reader.assign({TopicPartition("control.v1", 0): 0})
        found: list[SegmentWritten] = []
        for record in reader.poll(0.0, 1000).get(TopicPartition("control.v1", 0), []):
            event = decode(record.key, record.value, record.headers)
            assert isinstance(event.event, SegmentWritten)  # type: ignore[union-attr]
            found.append(event.event)  # type: ignore[union-attr]
            self.history.append(
                LogRecord("control.v1", 0, self.history.position, 0, record.key, record.value, record.headers)
            )
        return found


def outcomes(n: int) -> list[At]:
    """Two of the same time each, in the reverse order of their ids."""
    return [
        At(T + i // 2, b.matured(prediction=b.prediction(record_id=f"t{i ^ 1:03}"), scored_ms=T), "x") for i in range(n)
    ]


def around(n: int) -> tuple[Stepping, Around]:
    stepping = Stepping("judge", history(b.registered(1), b.promoted(1)))
    stepping.feed(*outcomes(n), T + n)
    return stepping, Around(stepping.control, {stepping.spec.id: stepping.task})


def written(process: Any) -> list[SegmentWritten]:
    worker, found = archive(process, ROWS), list[SegmentWritten]()
    while worker.doing:
        worker.turn()
        found += process.deliver()
    worker.turn()
    return found


def test_full_segments_are_written_once_and_their_rows_dropped() -> None:
    stepping, process = around(25)
    segments = written(process)
    assert [(s.number, s.first, s.rows, s.kind, s.subject) for s in segments] == [
        (0, 0, ROWS, "outcomes", b.MODEL),
        (1, ROWS, ROWS, "outcomes", b.MODEL),
    ]
    assert [(s.from_ms, s.to_ms) for s in segments] == [(T, T + 4), (T + 5, T + 9)]
    stepping.task.settle_cursor()
    assert len(stepping.task.file.buffered("archive", 0, 100)) == 5
    rows = [row for s in segments for row in decode_rows(process.artifacts.get(s.segment))]
    assert [row["ordinal"] for row in rows] == list(range(20))
    assert rows[0]["inputs"] == b.inputs()
    assert rows[0]["outputs"] == {"1": [0.9]}


def test_another_process_writes_the_same_bytes_under_the_same_id() -> None:
    first, second = (written(around(25)[1]) for _ in range(2))
    assert first == second


def test_rows_come_back_from_parquet_as_they_were() -> None:
    values = (None, 1.5, "fraud", 0.1 + 0.2)
    rows = [
        {**orjson.loads(row), "label": label}
        for row, label in zip(around(4)[0].task.file.buffered("archive", 0, 4), values, strict=True)
    ]
    encoded = encode_rows([orjson.dumps(row) for row in rows])
    assert decode_rows(encoded.data) == rows
    assert encode_rows([orjson.dumps(row) for row in rows]).data == encoded.data


def follow(process: Any, entries: list[At]) -> DecidedOutcomes:
    reader = DecidedOutcomes(process)
    for entry in entries:
        reader.on_message(LOG, b.message(entry.event, time_ms=entry.time_ms))
    mark(reader, process, T + 1_000)
    return reader


def mark(reader: DecidedOutcomes, process: Any, watermark_ms: int) -> None:
    """All who write the topic have come so far."""
    for writer in process.history.newest.definitions.writers[LOG]:
        reader.on_mark(LOG, Mark(writer, 0, watermark_ms, 0))


def test_decided_rows_are_the_judges_from_topic_or_archive() -> None:
    stepping, process = around(25)
    expected = [orjson.loads(row) for row in stepping.task.file.buffered("archive", 0, 100)]
    from_topic = follow(process, outcomes(25)).rows(b.MODEL, 0, 25, expected[-1]["record_id"])
    assert from_topic == expected
    written(process)
    reader = follow(process, outcomes(25))
    assert reader.rows(b.MODEL, 0, 25, expected[-1]["record_id"]) == expected
    assert reader.rows(b.MODEL, 7, 23, expected[22]["record_id"]) == expected[7:23]
    assert reader.rows(b.MODEL, 3, 9, expected[8]["record_id"]) == expected[3:9]
    # Of a log whose beginning has expired, the archive has the rest.
    assert follow(process, outcomes(25)[14:]).rows(b.MODEL, 0, 25, expected[-1]["record_id"]) == expected


def test_what_is_not_all_read_yet_is_not_answered() -> None:
    stepping, process = around(24)
    last = orjson.loads(stepping.task.file.buffered("archive", 0, 100)[19])["record_id"]
    missing = [entry for n, entry in enumerate(outcomes(24)) if n != 5]
    assert follow(process, missing).rows(b.MODEL, 0, 20, last) is None
    assert follow(process, outcomes(18)).rows(b.MODEL, 0, 20, last) is None
    assert follow(process, outcomes(24)).rows(b.MODEL, 0, 20, last) is not None


def test_the_first_segment_of_a_span_counts() -> None:
    _, process = around(25)
    (first, *_) = written(process)
    decide(process.history, first.model_copy(update={"from_ms": 0}))
    assert process.history.newest.segments["outcomes", b.MODEL][0] == first


def test_the_next_segment_follows_the_highest_number_in_whatever_order_they_came() -> None:
    stepping, process = around(35)
    first, second, third = written(process)
    for segment in (second, third, first):
        decide(stepping.control, segment.model_copy(update={"subject": b.MODEL, "partition": 0}))
    made = history(b.registered(1), b.promoted(1))
    for segment in (second, first):
        decide(made, segment)
    again = Around(made, {stepping.spec.id: stepping.task}, process.artifacts)
    (only,) = written(again)
    assert (only.number, only.first) == (2, 2 * ROWS)
    assert only == third


def revision(n: int, label: float | None, time_ms: int) -> At:
    return At(time_ms, b.revised(record_id=f"t{n:03}", label=label, label_id=f"again {time_ms}", before=1.0))


def test_a_revised_label_takes_the_place_of_the_one_decided_on_in_rows_that_end_no_earlier() -> None:
    _, process = around(25)
    entries = outcomes(25)
    plain = follow(process, entries).rows(b.MODEL, 0, 25, "t025")
    assert plain is not None
    revisions = [revision(3, 0.0, T + 2), revision(3, 0.5, T + 5), revision(4, None, T + 6), revision(9, 0.0, T + 12)]
    reader = follow(process, [*entries, *revisions])
    whole = reader.rows(b.MODEL, 0, 24, "t023")  # ends at T + 11
    assert whole is not None
    changed = {
        row["record_id"]: (row["label"], row["status"]) for row, was in zip(whole, plain, strict=False) if row != was
    }
    assert changed == {"t003": (0.5, "labelled"), "t004": (None, "unlabelled")}
    early = reader.rows(b.MODEL, 0, 8, "t007")  # ends at T + 3
    assert early is not None
    assert [row["label"] for row in early if row["record_id"] == "t003"] == [0.0]
    assert {row["due_ms"] for row in whole} == {row["due_ms"] for row in plain[:24]}


def test_rows_wait_until_all_revisions_that_count_are_known() -> None:
    process: Any = around(4)[1]
    reader = DecidedOutcomes(process)
    for entry in outcomes(4):
        reader.on_message(LOG, b.message(entry.event, time_ms=entry.time_ms))
    assert reader.rows(b.MODEL, 0, 4, "t003") is None
    mark(reader, process, T + 1)
    assert reader.rows(b.MODEL, 0, 4, "t003") is None
    mark(reader, process, T + 2)
    assert reader.rows(b.MODEL, 0, 4, "t003") is not None


def test_what_is_archived_is_revised_too() -> None:
    _, process = around(25)
    written(process)
    found = follow(process, [*outcomes(25), revision(0, 0.0, T + 3)]).rows(b.MODEL, 0, 25, "t025")
    assert found is not None
    assert [row["label"] for row in found if row["record_id"] == "t000"] == [0.0]


def test_rows_without_their_inputs_are_the_same_but_for_these() -> None:
    stepping = Stepping("judge", history(b.registered(1), b.promoted(1)))
    stepping.feed(*(At(T + n, b.matured(prediction=b.prediction(record_id=f"t{n}")), "x") for n in range(3)), T + 3)
    data = encode_rows(stepping.task.file.buffered("archive", 0, 3)).data
    whole = decode_rows(data)
    assert all(row["inputs"] for row in whole)
    assert decode_rows(data, inputs=False) == [{**row, "inputs": {}} for row in whole]
