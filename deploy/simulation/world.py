"""A whole platform in one process: in-memory logs, virtual time, and a seeded scheduler that also stages faults."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from deploy.simulation.crash_points import Killed, Point
from deploy.simulation.faults import ALL_FAULTS, NO_FAULTS, DrawnStorm, Faults, Kind, Storm, Strike
from deploy.simulation.memory_group import MemoryGroup, MemoryMember
from deploy.simulation.memory_store import SimulatedStore
from deploy.simulation.place import Place
from deploy.simulation.staged_faults import SAID, StagedFaults
from deploy.simulation.virtual_time import Jobs, JumpingClock, VirtualClock
from shared.contracts.envelope import Encoded
from shared.runtime.host import Host
from shared.runtime.log import BrokerAway, TopicPartition
from shared.runtime.memory_log import Fate, MemoryBroker, MemoryWriter
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.task_file import TaskFile

__all__ = ["ALL_FAULTS", "NO_FAULTS", "DoesNotSettle", "Faults", "World"]

STEP_MS = 2
QUIET_ROUNDS = 2
WAIT_MS = 1_000  # where nothing moves and something is still waited for, time goes on faster
COPY_EVERY_S = 2.0  # of virtual time: some copies in each history, and some work behind each of them
PARTS = ("read", "reconcile", "advance", "advance", "advance", "work", "publish", "job")
RECORDS, ENTRIES = (1, 2, 5, 50), (1, 2, 3, 8, 50)


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
    """Processes of services over one broker. Everything random comes from the seed, or from the `storm` given.

    The first instance of a service is called as the service, the others `service.1` and so on; those of a later release
    `service@2`, `service@2.1`. `fit_dies`: called for a strike on what fits.
    """

    def __init__(
        self,
        seed: int,
        services: Sequence[Callable[[], Service]],
        faults: Faults = NO_FAULTS,
        instances: int = 1,
        storm: Storm | None = None,
        fit_dies: Callable[[], None] = lambda: None,
    ) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.storm = storm or DrawnStorm(seed, faults)
        self.clock = VirtualClock()
        self.broker = MemoryBroker(self.clock.wall_ms)
        self.artifacts = SimulatedStore()
        self.calm = False
        self.steps = self.sends = 0
        self.staged = StagedFaults(self, fit_dies)
        self.artifacts.refused = lambda: self.staged.hits(Kind.STORE)
        self._instances = instances
        self.places: dict[str, Place] = {}
        self._made: dict[str, Callable[[], Service]] = {}
        self._names: list[str] = []
        self.jobs: dict[str, Jobs] = {}
        self.processes: dict[str, Process] = {}
        self._writer = self.broker.writer()
        for make in services:
            self._place(make)
        for name in self.places:
            self.start(name)

    def _place(self, make: Callable[[], Service]) -> list[str]:
        service = make()
        called = service.name if service.release == 1 else f"{service.name}@{service.release}"
        group = MemoryGroup(called)
        names = [f"{called}.{number}" if number else called for number in range(self._instances)]
        for number, name in enumerate(names):
            place = self.places[name] = Place(
                make, str(number), group, JumpingClock(self.clock), release=service.release
            )
            place.files.refused = partial(self.staged.hits, Kind.FILL_DISK, name)
        self._made.setdefault(service.name, make)
        self._names += names
        return names

    def begin(self, make: Callable[[], Service]) -> None:
        """Start another service, or another release of one, beside all that run."""
        for name in self._place(make):
            self.start(name)

    def release(self, service: str, altered: Callable[[Service], Service]) -> None:
        """Start a later release of a service, beside it: what `altered` makes of it."""
        make = self._made[service]
        self.begin(lambda: altered(make()))

    def stop(self, name: str) -> Process:
        """A process stands still until it is to go on."""
        self._names.remove(name)
        return self.processes.pop(name)

    def go_on(self, name: str, process: Process) -> None:
        self._names.append(name)
        self.processes[name] = process

    @property
    def struck(self) -> Counter[str]:
        """How often each fault has hit somebody."""
        return self.staged.struck

    @property
    def crashes(self) -> int:
        return self.struck[Kind.CRASH]

    @property
    def files(self) -> dict[str, TaskFile]:
        """The files of all tasks that processes own, by task."""
        return {task_id: task.file for process in self.processes.values() for task_id, task in process.tasks.items()}

    def clocks(self, service: str) -> list[JumpingClock]:
        """Of all its instances."""
        return [self.places[name].clock for name in self.processes if name.partition(".")[0] == service]

    def start(self, name: str) -> None:
        """A new process in its place."""
        place = self.places[name]
        place.fuse.put_out()
        place.kill = None
        self.jobs[name] = Jobs()
        host = Host(
            broker=FaultyBroker(self.broker, lambda: self._fate(name)),
            clock=place.clock,
            files=place.files,
            executor=self.jobs[name],
            artifacts=self.artifacts.seen_by(place.fuse),
            instance=place.instance,
            copy_every_s=COPY_EVERY_S,
            membership=MemoryMember(place.group, place.instance) if self._instances > 1 else None,
        )
        self.processes[name] = Process(place.make(), host)

    def _fate(self, name: str) -> Fate:
        if self.calm:
            return Fate.DELIVER
        self.places[name].fuse.burn(Point.SEND)
        self.sends += 1
        fate = self.storm.fate(self.sends, name)
        if fate is not Fate.DELIVER:
            self.struck[SAID[fate]] += 1
        return fate

    # --- what comes from outside

    def publish(self, topic: str, partition: int, encoded: Encoded) -> int:
        """Append a record as a client would; its offset."""
        return self.broker.append(TopicPartition(topic, partition), encoded.key, encoded.value, encoded.headers)

    # --- the scheduler

    def run(self, steps: int) -> None:
        """So many steps of the scheduler, faults included."""
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        """One thing that one process does, and whatever strikes before it."""
        self.clock.pass_ms(STEP_MS)
        self.steps += 1
        for strike in self.storm.due(self.steps, self._names):
            self.staged.strike(strike)
        self.staged.end_what_lasted()
        # The same number of draws each time: what one step does must not change who does the next.
        who, learns, releases, part, which, many = [self.random.random() for _ in range(6)]
        lanes = self.broker.lanes() if releases < 0.1 else ()
        if lanes:
            self.broker.release(lanes[int(which * len(lanes))])
            return
        name = self._names[int(who * len(self._names))]
        if self.staged.lasts(Kind.CRASH, name) or self.staged.lasts(Kind.FREEZE, name):
            return
        place = self.places[name]
        if learns < 0.05 and place.instance in place.group.unlearnt:
            place.group.learn(place.instance)
        try:
            if self.faults.shuffle:
                self._part_of_turn(name, part, which, many)
            else:
                self.turn(name)
        except Killed as killed:
            self.struck[f"{Kind.CRASH} {killed.point}"] += 1
            self.staged.crash(name, place.kill or Strike(self.steps, Kind.CRASH, name))
        except BrokerAway:
            self.staged.hits(Kind.BROKER)  # as its driver does, it tries again
        self.staged.see_what_was_taken_over(name)

    def turn(self, name: str) -> None:
        """A whole turn of one process, and all the work that it has handed away."""
        self.processes[name].turn(0.0)
        self._do_jobs(name)

    def _part_of_turn(self, name: str, part: float, which: float, many: float) -> None:
        process, jobs = self.processes[name], self.jobs[name]
        match PARTS[int(part * len(PARTS))]:
            case "read":
                process.read(0.0, RECORDS[int(many * len(RECORDS))])
            case "reconcile":
                process.reconcile()
            case "advance" if process.tasks:
                tasks = sorted(process.tasks)
                process.advance(tasks[int(which * len(tasks))], ENTRIES[int(many * len(ENTRIES))])
            case "work":
                process.work()
            case "job" if jobs.waiting and not self.staged.lasts(Kind.SLOW, name):
                jobs.run(int(which * jobs.waiting))
            case "job" if jobs.waiting:
                self.staged.hits(Kind.SLOW, name)
                process.publish()
            case _:
                process.publish()

    def _do_jobs(self, name: str) -> None:
        while self.jobs[name].waiting:
            self.jobs[name].run()

    def crash(self, name: str, at: str = "") -> None:
        """Kill a process and start it again: what it had not committed is gone, and so is its work in hand.

        `at`: where in its work it was, in words.
        """
        if at:
            self.struck[f"{Kind.CRASH} {at}"] += 1
        self.staged.crash(name, Strike(self.steps, Kind.CRASH, name))

    # --- the end

    def settle(self, rounds: int = 5_000) -> None:
        """Without further faults, turn until nothing can move without new input. Raises DoesNotSettle."""
        self.calm = True
        self.staged.all_well()
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
            same = self._seen() == before
            settled = same and self.settled
            quiet = quiet + 1 if settled else 0
            if quiet >= QUIET_ROUNDS:
                self.calm = False
                return
            if same and not settled:
                self.clock.pass_ms(WAIT_MS)
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
