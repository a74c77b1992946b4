"""A process of a service on a broker in memory: no threads, no disk, no waiting."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from deploy.simulation.memory_files import MemoryFiles
from deploy.simulation.virtual_time import VirtualClock
from shared.contracts.envelope import Event, Mark, Message, decode, encode
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.host import Host
from shared.runtime.log import TopicPartition
from shared.runtime.memory_log import MemoryBroker
from shared.runtime.process import Process
from shared.runtime.service import Executor, Service
from tests import builders as b

Result = TypeVar("Result")


class AtOnce:
    """Does the work before `submit` returns, on a thread of its own, as SQLite and event loops will have it."""

    _thread = ThreadPoolExecutor(max_workers=1)

    def submit(self, fn: Callable[..., Result], /, *args: Any) -> Future[Result]:
        done = self._thread.submit(fn, *args)
        wait([done])
        return done


@dataclass
class MemoryHost:
    """Broker, disk, object store and clock; they outlive the processes on them."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    files: MemoryFiles = field(default_factory=MemoryFiles)
    artifacts: ArtifactStore = field(default_factory=lambda: ArtifactStore.at("memory:"))
    executor: Executor = field(default_factory=AtOnce)
    folder: Path | None = None

    def __post_init__(self) -> None:
        self.broker = MemoryBroker(self.clock.wall_ms)
        self.broker.admin().create(CONTROL.name, 1, {})
        self._told = 0

    def start(self, service: Service, instance: str = "0") -> Process:
        """A new process, as after a restart."""
        host = Host(self.broker, self.clock, self.files, self.executor, self.artifacts, instance, self.folder)
        return Process(service, host)

    def decide(self, *events: Event, time_ms: int = b.T0_MS) -> None:
        """Events from outside, at the end of control.v1."""
        for event in events:
            self._told += 1
            self.write(CONTROL.name, Message(derived_id("decide", str(self._told)), "test", time_ms, "", event))

    def write(self, topic: str, message: Message, partition: int = 0) -> None:
        encoded = encode(message)
        self.broker.append(TopicPartition(topic, partition), encoded.key, encoded.value, encoded.headers)

    def events(self, topic: str, partition: int = 0) -> list[Message]:
        """The events that stand in a log; marks are left out."""
        records = self.broker.history(TopicPartition(topic, partition))
        entries = [decode(record.key, record.value, record.headers) for record in records]
        return [entry for entry in entries if not isinstance(entry, Mark)]


def settle(process: Process, turns: int = 200) -> None:
    """Turn until nothing moves, twice in a row; where something is done and nothing moves, time passes."""
    still = 0
    for _ in range(turns):
        moved = process.turn(0.0)
        still = 0 if moved or process.pending or process.doing() else still + 1
        if still == 2:
            return
        if not moved and process.doing() and isinstance(process.clock, VirtualClock):
            process.clock.pass_ms(10)
    raise AssertionError(f"still busy after {turns} turns: {process.pending} pending, doing {process.doing()}")
