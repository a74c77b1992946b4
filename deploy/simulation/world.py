"""A whole platform in one process: in-memory logs, virtual time, and a seeded scheduler that also stages faults."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from deploy.simulation.crash_points import Fuse, Killed, Point
from deploy.simulation.faults import ALL_FAULTS, NO_FAULTS, Disk, DrawnStorm, Faults, Kind, Storm, Strike
from deploy.simulation.memory_files import MemoryFiles
from deploy.simulation.memory_group import MemoryGroup, MemoryMember
from deploy.simulation.memory_store import SimulatedStore
from deploy.simulation.virtual_time import Jobs, JumpingClock, VirtualClock
from shared.contracts.envelope import Encoded
from shared.contracts.platform import TABLE_COPIES, Platform
from shared.contracts.topics import FEATURES
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
AT_WORK, CURSOR_LOST = "killed with work in hand", "cursor lost"
CLOCK_FORWARD, CLOCK_BACK = "clock set forward", "clock set back"
SAID = {
    Fate.REPEAT: "send repeated", Fate.LOSE_ACK: "acknowledgement lost", Fate.FAIL: "send failed",
    Fate.DELAY: "send delayed",
}  # fmt: skip


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
    """Where one instance runs: its disk, its clock and its group outlive its processes.

    `image`: the disk as it once was. `kill`: what happens once the fuse has burnt down.
    """

    make: Callable[[], Service]
    instance: str
    group: MemoryGroup
    clock: JumpingClock
    fuse: Fuse = field(default_factory=Fuse)
    files: MemoryFiles = field(init=False)
    image: Mapping[str, bytes] | None = None
    kill: Strike | None = None
    release: int = 1

    def __post_init__(self) -> None:
        self.files = MemoryFiles(self.fuse)


@dataclass(frozen=True, slots=True)
class _ThoughtDead:
    """Whose tasks are going to others, and which they were: it has struck once one of them was taken over from it."""

    kind: Kind
    tasks: frozenset[str]


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
        self.struck: Counter[str] = Counter()  # what has hit somebody, by kind
        self._fit_dies = fit_dies
        self._lasting: dict[tuple[Kind, str], int] = {}  # until which step
        self._have_hit: set[tuple[Kind, str]] = set()  # of those, which have refused or held up anything
        self._thought_dead: dict[str, _ThoughtDead] = {}
        self.artifacts.refused = lambda: self._hits(Kind.STORE)
        self._instances = instances
        self._places: dict[str, _Place] = {}
        self._made: dict[str, Callable[[], Service]] = {}
        self._names: list[str] = []
        self.jobs: dict[str, Jobs] = {}
        self.processes: dict[str, Process] = {}
        self._writer = self.broker.writer()
        for make in services:
            self._place(make)
        for name in self._places:
            self.processes[name] = self._start(name)

    def _place(self, make: Callable[[], Service]) -> list[str]:
        service = make()
        called = service.name if service.release == 1 else f"{service.name}@{service.release}"
        group = MemoryGroup(called)
        names = [f"{called}.{number}" if number else called for number in range(self._instances)]
        for number, name in enumerate(names):
            place = self._places[name] = _Place(
                make, str(number), group, JumpingClock(self.clock), release=service.release
            )
            place.files.refused = partial(self._hits, Kind.FILL_DISK, name)
        self._made.setdefault(service.name, make)
        self._names += names
        return names

    def begin(self, make: Callable[[], Service]) -> None:
        """Start another service, or another release of one, beside all that run."""
        for name in self._place(make):
            self.processes[name] = self._start(name)

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
    def crashes(self) -> int:
        return self.struck[Kind.CRASH]

    @property
    def files(self) -> dict[str, TaskFile]:
        """The files of all tasks that processes own, by task."""
        return {task_id: task.file for process in self.processes.values() for task_id, task in process.tasks.items()}

    def clocks(self, service: str) -> list[JumpingClock]:
        """Of all its instances."""
        return [self._places[name].clock for name in self.processes if name.partition(".")[0] == service]

    def _start(self, name: str) -> Process:
        place = self._places[name]
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
        return Process(place.make(), host)

    def _fate(self, name: str) -> Fate:
        if self.calm:
            return Fate.DELIVER
        self._places[name].fuse.burn(Point.SEND)
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
            self._strike(strike)
        if self._lasting:
            self._end_what_lasted()
        # The same number of draws each time: what one step does must not change who does the next.
        who, learns, releases, part, which, many = [self.random.random() for _ in range(6)]
        lanes = self.broker.lanes() if releases < 0.1 else ()
        if lanes:
            self.broker.release(lanes[int(which * len(lanes))])
            return
        name = self._names[int(who * len(self._names))]
        if (Kind.CRASH, name) in self._lasting or (Kind.FREEZE, name) in self._lasting:
            return
        place = self._places[name]
        if learns < 0.05 and place.instance in place.group.unlearnt:
            place.group.learn(place.instance)
        try:
            if self.faults.shuffle:
                self._part_of_turn(name, part, which, many)
            else:
                self.turn(name)
        except Killed as killed:
            self.struck[f"{Kind.CRASH} {killed.point}"] += 1
            self._crash(name, place.kill or Strike(self.steps, Kind.CRASH, name))
        except BrokerAway:
            self._hits(Kind.BROKER)  # as its driver does, it tries again
        if self._thought_dead:
            self._see_what_was_taken_over(name)

    def turn(self, name: str) -> None:
        """A whole turn of one process, and all the work that it has handed away."""
        self.processes[name].turn(0.0)
        self._do_jobs(name)

    def _expire(self, platform: Platform) -> int:
        """Retention, as soon as it may come: a table's log is kept for longer than two copies. How many logs lost."""
        found = 0
        for (view, partition), copies in platform.tables.items():
            tp = TopicPartition(FEATURES.of(view).name, partition)
            if len(copies) == TABLE_COPIES and copies[0].position > self.broker.log(tp).beginning:
                found += 1
                self.broker.expire(tp, copies[0].position)
        return found

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
            case "job" if jobs.waiting and (Kind.SLOW, name) not in self._lasting:
                jobs.run(int(which * jobs.waiting))
            case "job" if jobs.waiting:
                self._hits(Kind.SLOW, name)
                process.publish()
            case _:
                process.publish()

    def _do_jobs(self, name: str) -> None:
        while self.jobs[name].waiting:
            self.jobs[name].run()

    # --- faults

    def crash(self, name: str, at: str = "") -> None:
        """Kill a process and start it again: what it had not committed is gone, and so is its work in hand.

        `at`: where in its work it was, in words.
        """
        if at:
            self.struck[f"{Kind.CRASH} {at}"] += 1
        self._crash(name, Strike(self.steps, Kind.CRASH, name))

    def _hits(self, kind: Kind, name: str = "") -> None:
        """What is staged for a while has refused a call, or held something up: each of them counts once."""
        if (kind, name) in self._lasting and (kind, name) not in self._have_hit:
            self._have_hit.add((kind, name))
            self.struck[kind] += 1

    def _see_what_was_taken_over(self, name: str) -> None:
        """Whether this one has a task by now that one of its service, thought dead, has as well."""
        mine = self.processes[name].tasks.keys()
        for dead, thought in list(self._thought_dead.items()):
            held = thought.tasks & self.processes[dead].tasks.keys()
            if not held:
                del self._thought_dead[dead]  # it has learnt so
            elif dead != name and held & mine:
                del self._thought_dead[dead]
                self.struck[thought.kind] += 1

    def _strike(self, strike: Strike) -> None:
        """Stage a fault; it counts when it hits. A process that is down has nothing that could be struck."""
        name, kind = strike.whom, strike.kind
        if (Kind.CRASH, name) in self._lasting:
            return
        match kind:
            case Kind.CRASH if strike.calls:
                place = self._places[name]
                place.kill = strike
                place.fuse.light(strike.calls)
                return
            case Kind.CRASH:
                self._crash(name, strike)
                return
            case Kind.DROP | Kind.FREEZE:
                place = self._places[name]
                if kind is Kind.DROP and len(place.group.names) < 2:
                    return
                place.group.drop(place.instance)
                self._thought_dead[name] = _ThoughtDead(kind, frozenset(self.processes[name].tasks))
            case Kind.IMAGE:
                self._places[name].image = self._places[name].files.image()
                return
            case Kind.FILL_DISK:
                self._places[name].files.fill()
            case Kind.CLOCK:
                self._places[name].clock.jump_ms(strike.jump_ms)
                self.struck[CLOCK_FORWARD if strike.jump_ms > 0 else CLOCK_BACK] += 1
                return
            case Kind.STORE:
                self.artifacts.away = True
            case Kind.BROKER:
                self.broker.away = True
            case Kind.EXPIRE:
                self.struck[kind] += self._expire(self.processes[name].history.newest)
                return
            case Kind.WORKER:
                self._fit_dies()
                return
            case Kind.SLOW | Kind.SEND:
                pass
        if strike.lasts:
            self._have_hit.discard((kind, name))
            until = self._lasting.get((kind, name), 0)
            self._lasting[kind, name] = max(until, self.steps + strike.lasts)

    def _crash(self, name: str, strike: Strike) -> None:
        place = self._places[name]
        self.struck[Kind.CRASH] += 1
        self.struck[AT_WORK] += self.processes[name].pending > 0
        self._count_lost_cursors(name)
        self._lasting.pop((Kind.FREEZE, name), None)
        self._thought_dead.pop(name, None)
        self._meet_disk(place, strike.disk)
        place.fuse.put_out()
        if strike.lasts:
            # Its tasks go to the others, and some of them come back with it.
            place.group.drop(place.instance)
            self._lasting[Kind.CRASH, name] = self.steps + strike.lasts
        else:
            place.group.restart(place.instance)
            self.processes[name] = self._start(name)

    def _count_lost_cursors(self, name: str) -> None:
        """What was acknowledged and is not stored as such yet: it will be sent once more."""
        for task in self.processes[name].tasks.values():
            [first] = task.file.connection.execute("SELECT min(ordinal) FROM outbox").fetchone()
            if first is not None and first <= task.sent_up_to:
                self.struck[CURSOR_LOST] += 1

    def _meet_disk(self, place: _Place, disk: Disk) -> None:
        log_id, tasks = place.files.bound_to or "", place.files.tasks
        # A later release without the copy that it went on from waits until the earlier one is started again.
        copies = disk is Disk.LOST_WITH_COPIES and place.release == 1
        if disk is Disk.LOST_WITH_COPIES and not (copies and self.artifacts.lose_newest_copies(log_id, tasks)):
            disk = Disk.LOST
        if disk in (Disk.LOST, Disk.LOST_WITH_COPIES):
            place.files.lose()
        elif disk is Disk.STALE and place.image is not None:
            place.files.put_back(place.image)
        else:
            return
        self.struck[disk] += 1

    def _end_what_lasted(self) -> None:
        for kind, name in [what for what, until in self._lasting.items() if until <= self.steps]:
            self._end(kind, name)

    def _end(self, kind: Kind, name: str) -> None:
        del self._lasting[kind, name]
        match kind:
            case Kind.CRASH:
                self._places[name].group.restart(self._places[name].instance)
                self.processes[name] = self._start(name)
            case Kind.FILL_DISK:
                self._places[name].files.free()
            case Kind.STORE:
                self.artifacts.away = False
            case Kind.BROKER:
                self.broker.away = False
            case Kind.FREEZE:
                self._thought_dead.pop(name, None)
            case _:
                pass

    def _all_well(self) -> None:
        """The end of every fault that lasts."""
        for kind, name in list(self._lasting):
            self._end(kind, name)
        self._thought_dead.clear()
        for place in self._places.values():
            place.fuse.put_out()
        while unlearnt := [p for p in self._places.values() if p.instance in p.group.unlearnt]:
            for place in unlearnt:
                place.group.learn(place.instance)

    # --- the end

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
