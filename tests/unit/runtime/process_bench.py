"""A process of a toy service over the log in memory, which tests drive turn by turn, kill and start again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deploy.simulation.memory_files import MemoryFiles
from deploy.simulation.virtual_time import VirtualClock
from shared.contracts.envelope import Encoded, Mark, Message, encode, encode_mark
from shared.contracts.flow import LabelObserved, PredictionMade
from shared.contracts.platform import Platform
from shared.contracts.topics import CONTROL
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.host import Host
from shared.runtime.log import LogRecord, TopicPartition
from shared.runtime.memory_log import MemoryBroker
from shared.runtime.open_files import Files
from shared.runtime.ownership import Members
from shared.runtime.process import Process
from shared.runtime.service import Executor, Service
from shared.runtime.step import Output, Step
from shared.runtime.task_file import OutboxRow
from tests import builders as b
from tests.memory_host import AtOnce
from tests.unit.runtime.toy_task import JOINS, OUTCOMES_TOPIC, STEP, control_log

CONTROL_TP = TopicPartition(CONTROL.name, 0)
JOINS_TP = TopicPartition(JOINS, 0)
TASK = f"monitoring/join/{JOINS}/0"


def passes(state: Any, message: Message, context: Any) -> tuple[None, list[Output]]:
    return None, []


STEPS = {
    "join": STEP,
    "key_predictions": Step("key_predictions", None, {PredictionMade: passes}),
    "key_labels": Step("key_labels", None, {LabelObserved: passes}),
    "judge": Step("judge", None, {PredictionMade: passes}),
}


class Followed:
    """Remembers what it was told of one topic."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.messages: list[Message] = []
        self.marks: list[Mark] = []
        self.records: list[LogRecord] = []

    def topics(self, platform: Platform) -> Iterable[str]:
        return [self.topic] if platform.definitions.models else []

    def on_message(self, tp: TopicPartition, message: Message) -> None:
        self.messages.append(message)

    def on_mark(self, tp: TopicPartition, mark: Mark) -> None:
        self.marks.append(mark)

    def on_record(self, record: LogRecord) -> None:
        self.records.append(record)


class OneOfMany:
    """Whoever is said to be there."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ("0",)

    def members(self) -> Members:
        return Members("/".join(self.names), self.names)

    def leave(self) -> None:
        pass


class Bench:
    """One broker, one disk, and a process that can be killed."""

    def __init__(self, **service: Any) -> None:
        self.clock = VirtualClock()
        self.broker = MemoryBroker(self.clock.wall_ms)
        self.files: Files = MemoryFiles()
        self.artifacts = ArtifactStore.at("memory:")
        self.set_aside: list[OutboxRow] = []
        self.membership = OneOfMany()
        self.executor: Executor = AtOnce()
        self.service = Service("monitoring", STEPS, **service)
        self.process = self.started()

    def started(self) -> Process:
        self.process = Process(
            self.service,
            Host(
                self.broker,
                self.clock,
                self.files,
                self.executor,
                self.artifacts,
                "0",
                set_aside=self.set_aside.append,
                membership=self.membership,
            ),
        )
        return self.process

    def found(self) -> None:
        self.broker.admin().create(CONTROL.name, 1, {})
        for record in control_log():
            self.broker.append(CONTROL_TP, record.key, record.value, record.headers)
        for topic in (JOINS, f"predictions.{b.MODEL}.v1", f"records.{b.LABELS}.v1", OUTCOMES_TOPIC.name):
            self.broker.admin().create(topic, 1, {})

    def put(self, *entries: Message | Mark | Encoded, tp: TopicPartition = JOINS_TP) -> None:
        for what in entries:
            raw = what if isinstance(what, Encoded) else encode_mark(what) if isinstance(what, Mark) else encode(what)
            self.broker.append(tp, raw.key, raw.value, raw.headers)

    def turn(self, turns: int = 3) -> None:
        for _ in range(turns):
            self.clock.pass_ms(50)
            self.process.turn(0.0)

    def outcomes(self) -> list[LogRecord]:
        return self.broker.history(TopicPartition(OUTCOMES_TOPIC.name, 0))
