"""A whole platform in one process: in-memory logs, virtual time, and a seeded scheduler that also injects faults."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.simulation.memory_files import MemoryFiles
from deploy.simulation.virtual_time import Jobs, VirtualClock
from shared.contracts.envelope import Encoded
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.log import TopicPartition
from shared.runtime.memory_log import Fate, MemoryBroker, MemoryWriter
from shared.runtime.process import Host, Process
from shared.runtime.service import Service

STEP_MS = 2
QUIET_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault is, a scheduler's step or a send. None of them by default."""

    crash: float = 0.0
    repeat: float = 0.0
    lose_ack: float = 0.0
    fail: float = 0.0
    delay: float = 0.0
    shuffle: bool = True


NO_FAULTS = Faults(shuffle=False)
ALL_FAULTS = Faults(crash=0.01, repeat=0.02, lose_ack=0.01, fail=0.01, delay=0.02)


class DoesNotSettle(AssertionError):
    """After so many rounds something still moves."""


class FaultyBroker:
    """The broker as one process sees it: its sends meet the fates that the world draws."""

    def __init__(self, broker: MemoryBroker, fate: Callable[[], Fate]) -> None:
        self._broker, self._fate = broker, fate
        self.reader, self.admin = broker.reader, broker.admin

    def writer(self) -> MemoryWriter:
        return self._broker.writer(lambda tp, key, value: self._fate())


class World:
    """Processes of services over one broker. Everything random comes from the seed."""

    def __init__(self, seed: int, services: Sequence[Callable[[], Service]], faults: Faults = NO_FAULTS) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.clock = VirtualClock()
        self.broker = MemoryBroker(self.clock.wall_ms)
        self.artifacts = ArtifactStore.at("memory:")
        self.calm = False
        self.crashes: list[str] = []
        self._make = {make().name: make for make in services}
        self._files = {name: MemoryFiles() for name in self._make}
        self.jobs = {name: Jobs() for name in self._make}
        self.processes = {name: self._start(name) for name in self._make}
        self._writer = self.broker.writer()

    def _start(self, name: str) -> Process:
        self.jobs[name] = Jobs()
        host = Host(
            broker=FaultyBroker(self.broker, self._fate),
            clock=self.clock,
            files=self._files[name],
            executor=self.jobs[name],
            artifacts=self.artifacts,
            instance="0",
        )
        return Process(self._make[name](), host)

    def _fate(self) -> Fate:
        if self.calm:
            return Fate.DELIVER
        draw = self.random.random()
        for fate, share in (
            (Fate.REPEAT, self.faults.repeat), (Fate.LOSE_ACK, self.faults.lose_ack), (Fate.FAIL, self.faults.fail),
            (Fate.DELAY, self.faults.delay),
        ):  # fmt: skip
            if draw < share:
                return fate
            draw -= share
        return Fate.DELIVER

    # --- what comes from outside

    def publish(self, topic: str, partition: int, encoded: Encoded) -> int:
        """Append a record as a client would; its offset."""
        return self.broker.append(TopicPartition(topic, partition), encoded.key, encoded.value, encoded.headers)

    # --- the scheduler

    def crash(self, name: str) -> None:
        """Kill a process and start it again: what it had not committed is gone, and so is its work in hand."""
        self.crashes.append(name)
        self.processes[name] = self._start(name)

    def step(self) -> None:
        """One thing that one process does, or one fault."""
        self.clock.pass_ms(STEP_MS)
        names = list(self.processes)
        name = self.random.choice(names)
        if not self.calm and self.random.random() < self.faults.crash:
            self.crash(name)
            return
        lanes = self.broker.lanes()
        if lanes and self.random.random() < 0.1:
            self.broker.release(self.random.choice(lanes))
            return
        if self.faults.shuffle:
            self._part_of_turn(name)
        else:
            self.processes[name].turn(0.0)
            self._do_jobs(name)

    def _part_of_turn(self, name: str) -> None:
        process, draw = self.processes[name], self.random
        match draw.choice(("read", "reconcile", "advance", "advance", "advance", "work", "publish", "job")):
            case "read":
                process.read(0.0, draw.choice((1, 2, 5, 50)))
            case "reconcile":
                process.reconcile()
            case "advance" if process.tasks:
                process.advance(draw.choice(sorted(process.tasks)), draw.choice((1, 2, 3, 8, 50)))
            case "work":
                process.work()
            case "job" if self.jobs[name].waiting:
                self.jobs[name].run(draw.randrange(self.jobs[name].waiting))
            case _:
                process.publish()

    def _do_jobs(self, name: str) -> None:
        while self.jobs[name].waiting:
            self.jobs[name].run()

    def run(self, steps: int) -> None:
        """So many steps of the scheduler, faults included."""
        for _ in range(steps):
            self.step()

    def settle(self, rounds: int = 5_000) -> None:
        """Without further faults, turn until nothing can move without new input. Raises DoesNotSettle."""
        self.calm = True
        quiet = 0
        for _ in range(rounds):
            for lane in self.broker.lanes():
                while self.broker.delays(lane):
                    self.broker.release(lane)
            names = list(self.processes)
            self.random.shuffle(names)
            before = self._seen()
            for name in names:
                self.clock.pass_ms(STEP_MS)
                self.processes[name].turn(0.0)
                self._do_jobs(name)
            quiet = quiet + 1 if self.settled and self._seen() == before else 0
            if quiet >= QUIET_ROUNDS:
                self.calm = False
                return
        raise DoesNotSettle(self.unsettled)

    @property
    def settled(self) -> bool:
        return not self.unsettled

    @property
    def unsettled(self) -> list[str]:
        """What still moves, in words."""
        found: list[str] = []
        for name, process in self.processes.items():
            if process.pending:
                found.append(f"{name} has {process.pending} pending")
            found += [f"{name} {text}" for text in process.doing()]
            found += [f"{name} waits: {why}" for why in process.waiting.values()]
            for (topic, partition), end in process.applied().items():
                log_end = self.broker.log(TopicPartition(topic, partition)).end
                if end < log_end:
                    found.append(f"{name} is at {end} of {log_end} in {topic}/{partition}")
        return found

    def _seen(self) -> dict[str, dict[tuple[str, int], int]]:
        return {name: dict(process.applied()) for name, process in self.processes.items()}
