"""The service as a whole, in one process over a log in memory: predictions and labels in, decisions in control.v1."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from services.monitoring.app import build
from services.monitoring.settings import MonitoringSettings
from shared.contracts.control import QualityMeasured, SegmentWritten
from shared.contracts.envelope import Encoded, Event, Mark, Message, encode, encode_mark
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL, PREDICTIONS, RECORDS
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.host import Host
from shared.runtime.log import TopicPartition
from shared.runtime.memory_log import MemoryBroker
from shared.runtime.process import Process
from shared.runtime.task_file import TaskFile
from tests import builders as b

T = b.T0_MS
MINUTE = 60_000
OUTCOMES = 250


class Inline:
    """Runs what is submitted at once; its time moves on with every look."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def submit(self, fn: Any, /, *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args))
        return future

    def now_s(self) -> float:
        self._now_s += 0.05
        return self._now_s

    def wall_ms(self) -> int:
        return T

    bound_to: str | None = None

    def bind(self, log_id: str) -> None:
        self.bound_to = log_id

    def open(self, task: str) -> TaskFile:
        return TaskFile(task, None)


def put(broker: MemoryBroker, topic: str, entries: Sequence[Encoded]) -> None:
    if broker.admin().partitions(topic) is None:
        broker.admin().create(topic, 1, {})
    writer = broker.writer()
    for one in entries:
        writer.send(TopicPartition(topic, 0), one.key, one.value, one.headers, lambda offset, error: None)
    writer.drain(0.0)


def log(source: str, events: Sequence[tuple[int, str, Event]], control: int, until_ms: int) -> list[Encoded]:
    """What a task would have written, and its mark behind it."""
    made = [
        encode(Message(derived_id(source, "event", "", n), source, time_ms, key, event, n, control))
        for n, (time_ms, key, event) in enumerate(events, 1)
    ]
    return [*made, encode_mark(Mark(source, len(events), until_ms, control))]


def test_predictions_and_labels_become_quality_and_segments() -> None:
    broker, inline = MemoryBroker(), Inline()
    control = [b.founded(), b.applied(), b.registered(1), b.promoted(1)]
    messages = [Message(derived_id("c", str(n)), "test", T, "", event) for n, event in enumerate(control)]
    put(broker, CONTROL.name, [encode(message) for message in messages])
    predictions = [(T + i, f"c{i}", b.prediction(record_id=f"t{i}")) for i in range(OUTCOMES)]
    values = [{"transaction_id": f"t{i}", "chargeback_id": f"l{i}", "is_fraud": i % 2 == 0} for i in range(OUTCOMES)]
    records = [b.accepted(source=b.LABELS, record_id=f"l{i}", value=value) for i, value in enumerate(values)]
    labels = [(T + MINUTE + i, f"t{i}", record) for i, record in enumerate(records)]
    until_ms, shown = T + 60 * MINUTE, len(control)
    scoring = f"serving/score/scoring.{b.MODEL}.v1/0"
    put(broker, PREDICTIONS.of(b.MODEL).name, log(scoring, predictions, shown, until_ms))
    accepting = f"ingestion/accept/intake.{b.LABELS}.v1/0"
    put(broker, RECORDS.of(b.LABELS).name, log(accepting, labels, shown, until_ms))
    service = build(MonitoringSettings(outcomes_per_segment=100))
    host = Host(broker, inline, inline, inline, ArtifactStore.at("memory:"), "0")
    process = Process(service, host)
    for _ in range(60):
        process.turn(0.0)
    found = [entry.message.event for entry in process.history.entries if entry.message is not None]
    quality = [event for event in found if isinstance(event, QualityMeasured)]
    assert [(q.position, q.labelled, q.total["accuracy"]) for q in quality] == [(100, 100, 0.5), (200, 200, 0.5)]
    assert [event.first for event in found if isinstance(event, SegmentWritten)] == [0, 100]
    assert process.doing() == []
    assert {name: task.counts.dead for name, task in process.tasks.items() if task.counts.dead} == {}
    process.close()
