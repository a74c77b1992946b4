"""A whole platform in one process: in-memory logs, virtual time, and a seeded scheduler that also injects faults."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from deploy.simulation.memory_files import MemoryFiles
from deploy.simulation.memory_group import MemoryGroup, MemoryMember
from deploy.simulation.memory_store import SimulatedStore
from deploy.simulation.virtual_time import Jobs, VirtualClock
from shared.contracts.envelope import Encoded
from shared.contracts.platform import TABLE_COPIES, Platform
from shared.contracts.topics import FEATURES
from shared.runtime.log import TopicPartition
from shared.runtime.memory_log import Fate, MemoryBroker, MemoryWriter
from shared.runtime.process import Host, Process
from shared.runtime.service import Service

STEP_MS = 2
QUIET_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault is, a scheduler's step or a send. None of them by default.

    `lose_disk`, `stale_disk`: of a crash, that the disk is lost with it, or put back as it once was. `drop`: that an
    instance is thought dead while it goes on. `fill_disk`: that a disk is full for a while. `store`: that the object
    store is away for a while. `expire`: that the logs of tables lose what the older of two copies holds.
    """

    crash: float = 0.0
    repeat: float = 0.0
    lose_ack: float = 0.0
    fail: float = 0.0
    delay: float = 0.0
    lose_disk: float = 0.0
    stale_disk: float = 0.0
    drop: float = 0.0
    fill_disk: float = 0.0
    store: float = 0.0
    expire: float = 0.0
    shuffle: bool = True


NO_FAULTS = Faults(shuffle=False)
ALL_FAULTS = Faults(
    crash=0.01, repeat=0.02, lose_ack=0.01, fail=0.01, delay=0.02, lose_disk=0.1, stale_disk=0.1, drop=0.004,
    fill_disk=0.002, store=0.002, expire=0.002,
)  # fmt: skip
COPY_EVERY_S = 2.0  # of virtual time: some copies in each history, and some work behind each of them


class DoesNotSettle(AssertionError):
    """After so many rounds something still moves."""


class FaultyBroker:
    """The broker as one process sees it: its sends meet the fates that the world draws."""

    def __init__(self, broker: MemoryBroker, fate: Callable[[], Fate]) -> None:
        self._broker, self._fate = broker, fate
        self.reader, self.admin = broker.reader, broker.admin

    def writer(self) -> MemoryWriter:
        return self._broker.writer(lambda tp, key, value: self._fate())


@dataclass(slots=True)
class _Place:
    """Where one instance runs: its disk and its group outlive its processes. `image`: the disk as it once was."""

    make: Callable[[], Service]
    instance: str
    group: MemoryGroup
    files: MemoryFiles = field(default_factory=MemoryFiles)
    image: Mapping[str, bytes] | None = None


class World:
    """Processes of services over one broker. Everything random comes from the seed.

    The first instance of a service is called as the service, the others `service.1` and so on.
    """

    def __init__(
        self, seed: int, services: Sequence[Callable[[], Service]], faults: Faults = NO_FAULTS, instances: int = 1
    ) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.clock = VirtualClock()
        self.broker = MemoryBroker(self.clock.wall_ms)
        self.artifacts = SimulatedStore()
        self.calm = False
        self.struck: Counter[str] = Counter()  # faults that have been staged, by kind
        self._instances = instances
        self._places: dict[str, _Place] = {}
        for make in services:
            service = make().name
            group = MemoryGroup(service)
            for number in range(instances):
                name = f"{service}.{number}" if number else service
                self._places[name] = _Place(make, str(number), group)
        self.jobs = {name: Jobs() for name in self._places}
        self.processes = {name: self._start(name) for name in self._places}
        self._down: dict[str, int] = {}  # steps until they start again
        self._writer = self.broker.writer()

    @property
    def crashes(self) -> int:
        return self.struck["crash"]

    def _start(self, name: str) -> Process:
        place = self._places[name]
        self.jobs[name] = Jobs()
        host = Host(
            broker=FaultyBroker(self.broker, self._fate),
            clock=self.clock,
            files=place.files,
            executor=self.jobs[name],
            artifacts=self.artifacts,
            instance=place.instance,
            copy_every_s=COPY_EVERY_S,
            membership=MemoryMember(place.group, place.instance) if self._instances > 1 else None,
        )
        return Process(place.make(), host)

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
        self._strike("crash")
        place = self._places[name]
        if self._happens(self.faults.lose_disk):
            self._strike("disk lost")
            place.files.lose()
        elif place.image is not None and self._happens(self.faults.stale_disk):
            self._strike("stale disk put back")
            place.files.put_back(place.image)
        if len(place.group.names) > 1 and self.random.random() < 0.5:
            # Its tasks go to the others, and some of them come back with it.
            place.group.drop(place.instance)
            self._down[name] = self.random.randrange(20, 400)
        else:
            place.group.restart(place.instance)
            self.processes[name] = self._start(name)

    def _strike(self, fault: str) -> None:
        self.struck[fault] += 1

    def _happens(self, likelihood: float) -> bool:
        return likelihood > 0 and self.random.random() < likelihood

    def step(self) -> None:
        """One thing that one process does, or one fault."""
        self.clock.pass_ms(STEP_MS)
        name = self.random.choice(list(self.processes))
        if name in self._down:
            self._wait_down(name)
            return
        if not self.calm and self._fault(name):
            return
        lanes = self.broker.lanes()
        if lanes and self.random.random() < 0.1:
            self.broker.release(self.random.choice(lanes))
            return
        place = self._places[name]
        if place.instance in place.group.unlearnt and self.random.random() < 0.05:
            place.group.learn(place.instance)
        if self.faults.shuffle:
            self._part_of_turn(name)
        else:
            self.turn(name)

    def turn(self, name: str) -> None:
        """A whole turn of one process, and all the work that it has handed away."""
        self.processes[name].turn(0.0)
        self._do_jobs(name)

    def _wait_down(self, name: str) -> None:
        self._down[name] -= 1
        if self._down[name] <= 0:
            self._rise(name)

    def _rise(self, name: str) -> None:
        del self._down[name]
        self.processes[name] = self._start(name)

    def _fault(self, name: str) -> bool:
        """Stage at most one fault of a process or of what it stands on."""
        faults, place = self.faults, self._places[name]
        if self._happens(faults.crash):
            self.crash(name)
            return True
        if self._happens(faults.stale_disk / 20):
            place.image = place.files.image()  # a crash may put it back later
        if len(place.group.names) > 1 and self._happens(faults.drop):
            self._strike("thought dead")
            place.group.drop(place.instance)
        if self._happens(faults.fill_disk):
            self._strike("disk full")
            place.files.fill()
        elif place.files.full and self.random.random() < 0.02:
            place.files.free()
        if self._happens(0.02 if self.artifacts.away else faults.store):
            self.artifacts.away = not self.artifacts.away
            self._strike("store away" if self.artifacts.away else "store back")
        if self._happens(faults.expire):
            self._expire(self.processes[name].history.newest)
        return False

    def _expire(self, platform: Platform) -> None:
        """Retention, as soon as it may come: a table's log is kept for longer than two copies."""
        for (view, partition), copies in platform.tables.items():
            tp = TopicPartition(FEATURES.of(view).name, partition)
            if len(copies) == TABLE_COPIES and copies[0].position > self.broker.log(tp).beginning:
                self._strike("table's log expired")
                self.broker.expire(tp, copies[0].position)

    def _all_well(self) -> None:
        """The end of every fault that lasts."""
        self.artifacts.away = False
        for name in list(self._down):
            self._rise(name)
        for place in self._places.values():
            place.files.free()
        while unlearnt := [p for p in self._places.values() if p.instance in p.group.unlearnt]:
            for place in unlearnt:
                place.group.learn(place.instance)

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
        self._all_well()
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
                self.turn(name)
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
            found += [f"{name} waits: {why}" for why in process.awaited.values()]
            for (topic, partition), end in process.applied().items():
                log_end = self.broker.log(TopicPartition(topic, partition)).end
                if end < log_end:
                    found.append(f"{name} is at {end} of {log_end} in {topic}/{partition}")
        return found

    def _seen(self) -> dict[str, dict[tuple[str, int], int]]:
        return {name: dict(process.applied()) for name, process in self.processes.items()}
