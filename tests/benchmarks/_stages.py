"""Where a record's processor time goes on its way through a task: each stage by itself, without broker or profiler."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, cast

from kafka.record import MemoryRecords

from shared.contracts.envelope import Encoded, Mark, Message, decode, encode
from shared.contracts.topics import CONTROL
from shared.runtime.history import ControlHistory
from shared.runtime.kafka_clients.accumulator import BatchRecords
from shared.runtime.kafka_clients.partition_records import PartitionRecords
from shared.runtime.kafka_clients.producer import Producer
from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_driver import collect_seldom
from shared.runtime.kafka_records import content_of
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import Completion, Ticket
from shared.runtime.kafka_writer import KafkaWriter
from shared.runtime.log import LogRecord
from shared.runtime.relay import Relay
from shared.runtime.task import Task
from shared.runtime.task_file import Changes, TaskFile
from tests import builders as b
from tests.benchmarks._copied_log import RECORDS_TP, TASK, decided, entries, service
from tests.reports import Report, Row

READ = "read: from a batch's bytes to records"
DECODE = "decode: from records to events"
HANDLE = "handle: handler, ids, sequences, state"
ENCODE = "encode: from derived events to bytes"
COMMIT = "commit: one transaction of SQLite"
SEND = "send: into a batch"
ACKNOWLEDGE = "acknowledge: move the cursor"
STAGES = (READ, DECODE, HANDLE, ENCODE, COMMIT, SEND, ACKNOWLEDGE)
BATCH, BATCHES = 1_000, 20
BATCH_BYTES = 256 * 1024  # as the runtime's producer has it


def profile(given: argparse.Namespace, report: Report) -> None:
    """Twenty batches of 1,000 entries, one after the other, through every stage."""
    with tempfile.TemporaryDirectory() as folder:
        stages = Stages(Path(folder))
        log = entries(given.seed)
        collect_seldom()
        for number in range(BATCHES + 1):
            stages.run(number * BATCH, list(islice(log, BATCH)), counted=number > 0)
    report.add(*(Row.of(name, taken, "us CPU/record") for name, taken in stages.taken_us.items()))


class Stages:
    """A task on a file in `folder`, its relay, and a producer that puts nothing on a wire."""

    def __init__(self, folder: Path) -> None:
        history = ControlHistory()
        for offset, entry in enumerate(decided()):
            history.append(LogRecord(CONTROL.name, 0, offset, b.T0_MS, *entry))
        [spec] = [spec for spec in history.newest.definitions.tasks if spec.id == TASK]
        file = TimedFile(TASK, folder / "state.sqlite")
        file.bind(history.log_id or "")
        file.clock = self._clock
        self._task = Task(spec, service().steps[spec.step], file, history)
        self._writer, self._wireless = KafkaWriter(KafkaSettings(bootstrap="127.0.0.1:1")), Wireless()
        self._writer._producer = cast(Producer, self._wireless)
        self._relay = Relay(self._task, self._writer)
        self._offset = 0
        self._now_s: dict[str, float] = defaultdict(float)
        self.taken_us: dict[str, list[float]] = defaultdict(list)

    def run(self, first: int, batch: Sequence[Encoded], *, counted: bool) -> None:
        """One batch; its time is kept where it counts."""
        self._now_s.clear()
        data = _as_stored(first, batch)
        with self._clock(READ):
            part: Any = PartitionRecords(first, WirePartition(*RECORDS_TP), MemoryRecords(data))
            records: list[LogRecord] = part.take(BATCH)
        with self._clock(DECODE):
            read = [decode(record.key, record.value, record.headers) for record in records]
        assert len([entry for entry in read if not isinstance(entry, Mark)]) == BATCH - 1
        with self._clock("task"):
            self._task.process(records, time.monotonic())
        derived = [decode(row.key, row.value, row.headers) for row in self._task.unsent]
        with self._clock(ENCODE):
            for entry in derived:
                if isinstance(entry, Message):
                    encode(entry)
        with self._clock(SEND):
            self._relay.send()
        for records_made, tickets in self._wireless.take():
            with self._clock(SEND):
                records_made.close()
            self._writer._done.put(Completion(tickets, self._offset))
            self._offset += len(tickets)
        with self._clock(ACKNOWLEDGE):
            self._writer.drain(0)
        # Decoding, encoding and the transaction are parts of the task's time.
        self._now_s[HANDLE] = self._now_s["task"] - sum(self._now_s[stage] for stage in (DECODE, ENCODE, COMMIT))
        if counted:
            for stage in STAGES:
                self.taken_us[stage].append(self._now_s[stage] / BATCH * 1e6)

    @contextmanager
    def _clock(self, stage: str) -> Generator[None]:
        began_s = time.thread_time()
        yield
        self._now_s[stage] += time.thread_time() - began_s


class TimedFile(TaskFile):
    """A task's file, whose commits are timed."""

    clock: Callable[[str], AbstractContextManager[None]]

    def commit(self, changes: Changes) -> None:
        with self.clock(COMMIT):
            super().commit(changes)


class Wireless:
    """A producer's batches, with nobody to send them."""

    failure = None

    def __init__(self) -> None:
        self._made: list[tuple[BatchRecords, list[Ticket]]] = []

    def put(self, _wire: WirePartition, content: bytes, ticket: Ticket) -> bool:
        """As the producer does."""
        now_ms = time.time_ns() // 1_000_000
        if not self._made or not self._made[-1][0].take(now_ms, content):
            self._made.append((BatchRecords(2, 0, BATCH_BYTES), []))
            self._made[-1][0].take(now_ms, content)
        self._made[-1][1].append(ticket)
        return True

    def take(self) -> list[tuple[BatchRecords, list[Ticket]]]:
        """What is there; then nothing is."""
        made, self._made = self._made, []
        return made


def _as_stored(first: int, batch: Sequence[Encoded]) -> bytes:
    records = BatchRecords(2, 0, 1 << 24)
    for entry in batch:
        records.take(b.T0_MS, content_of(*entry))
    records.close()
    data = bytearray(records.buffer())
    data[:8] = first.to_bytes(8, "big")
    return bytes(data)
