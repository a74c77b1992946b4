"""Decided outcomes in segments, and read back by whoever trains on them."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.monitoring.archive import archive
from shared.contracts.control import SegmentWritten
from shared.contracts.envelope import decode
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
        reader.on_message(TopicPartition("outcomes", 0), b.message(entry.event, time_ms=entry.time_ms))
    return reader


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
