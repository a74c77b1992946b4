"""Strikes on a simulated platform: each is staged, may last for a while, and counts where it hits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.simulation.faults import Disk, Kind, Strike
from deploy.simulation.place import Place
from shared.contracts.platform import TABLE_COPIES, Platform
from shared.contracts.topics import FEATURES
from shared.runtime.log import TopicPartition
from shared.runtime.memory_log import Fate

if TYPE_CHECKING:
    from deploy.simulation.world import World

AT_WORK, CURSOR_LOST = "killed with work in hand", "cursor lost"
CLOCK_FORWARD, CLOCK_BACK = "clock set forward", "clock set back"
SAID = {
    Fate.REPEAT: "send repeated", Fate.LOSE_ACK: "acknowledgement lost", Fate.FAIL: "send failed",
    Fate.DELAY: "send delayed",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _ThoughtDead:
    """Whose tasks are going to others, and which they were: it has struck once one of them was taken over from it."""

    kind: Kind
    tasks: frozenset[str]


class StagedFaults:
    """What is staged in a world. `struck`: how often each fault has hit somebody. `fit_dies`: for a strike on a fit."""

    def __init__(self, world: World, fit_dies: Callable[[], None]) -> None:
        self._world, self._fit_dies = world, fit_dies
        self.struck: Counter[str] = Counter()
        self._lasting: dict[tuple[Kind, str], int] = {}  # until which step
        self._have_hit: set[tuple[Kind, str]] = set()  # of those, which have refused or held up anything
        self._thought_dead: dict[str, _ThoughtDead] = {}

    def lasts(self, kind: Kind, name: str) -> bool:
        """Whether it is staged just now."""
        return (kind, name) in self._lasting

    def hits(self, kind: Kind, name: str = "") -> None:
        """What is staged for a while has refused a call, or held something up: each of them counts once."""
        if (kind, name) in self._lasting and (kind, name) not in self._have_hit:
            self._have_hit.add((kind, name))
            self.struck[kind] += 1

    def see_what_was_taken_over(self, name: str) -> None:
        """Whether this one has a task by now that one of its service, thought dead, has as well."""
        if not self._thought_dead:
            return
        mine = self._world.processes[name].tasks.keys()
        for dead, thought in list(self._thought_dead.items()):
            held = thought.tasks & self._world.processes[dead].tasks.keys()
            if not held:
                del self._thought_dead[dead]  # it has learnt so
            elif dead != name and held & mine:
                del self._thought_dead[dead]
                self.struck[thought.kind] += 1

    def strike(self, strike: Strike) -> None:
        """Stage a fault; it counts when it hits. A process that is down has nothing that could be struck."""
        name, kind = strike.whom, strike.kind
        if (Kind.CRASH, name) in self._lasting:
            return
        match kind:
            case Kind.CRASH if strike.calls:
                place = self._world.places[name]
                place.kill = strike
                place.fuse.light(strike.calls)
                return
            case Kind.CRASH:
                self.crash(name, strike)
                return
            case Kind.DROP | Kind.FREEZE:
                place = self._world.places[name]
                if kind is Kind.DROP and len(place.group.names) < 2:
                    return
                place.group.drop(place.instance)
                self._thought_dead[name] = _ThoughtDead(kind, frozenset(self._world.processes[name].tasks))
            case Kind.IMAGE:
                self._world.places[name].image = self._world.places[name].files.image()
                return
            case Kind.FILL_DISK:
                self._world.places[name].files.fill()
            case Kind.CLOCK:
                fault = CLOCK_FORWARD if strike.jump_ms > 0 else CLOCK_BACK
                self._world.places[name].clock.jump_ms(strike.jump_ms, lambda: self.struck.update([fault]))
                return
            case Kind.STORE:
                self._world.artifacts.away = True
            case Kind.BROKER:
                self._world.broker.away = True
            case Kind.EXPIRE:
                self.struck[kind] += self._expire(self._world.processes[name].history.newest)
                return
            case Kind.WORKER:
                self._fit_dies()
                return
            case Kind.SLOW | Kind.SEND:
                pass
        if strike.lasts:
            self._have_hit.discard((kind, name))
            until = self._lasting.get((kind, name), 0)
            self._lasting[kind, name] = max(until, self._world.steps + strike.lasts)

    def crash(self, name: str, strike: Strike) -> None:
        """A process ends, and starts again at once or later."""
        place = self._world.places[name]
        self.struck[Kind.CRASH] += 1
        self.struck[AT_WORK] += self._world.processes[name].pending > 0
        self._count_lost_cursors(name)
        self._lasting.pop((Kind.FREEZE, name), None)
        self._thought_dead.pop(name, None)
        self._meet_disk(place, strike.disk)
        place.fuse.put_out()
        if strike.lasts:
            # Its tasks go to the others, and some of them come back with it.
            place.group.drop(place.instance)
            self._lasting[Kind.CRASH, name] = self._world.steps + strike.lasts
        else:
            place.group.restart(place.instance)
            self._world.start(name)

    def _count_lost_cursors(self, name: str) -> None:
        """What was acknowledged and is not stored as such yet: it will be sent once more."""
        for task in self._world.processes[name].tasks.values():
            [first] = task.file.connection.execute("SELECT min(ordinal) FROM outbox").fetchone()
            if first is not None and first <= task.sent_up_to:
                self.struck[CURSOR_LOST] += 1

    def _meet_disk(self, place: Place, disk: Disk) -> None:
        # A later release without the copy that it goes on from waits until whoever passed it on is started again.
        spared, log_id = self._passed_on_by_others(place), place.files.bound_to or ""
        tasks = [task for task in place.files.tasks if task not in spared]
        copies = disk is Disk.LOST_WITH_COPIES and place.release == 1
        if disk is Disk.LOST_WITH_COPIES and not (copies and self._world.artifacts.lose_newest_copies(log_id, tasks)):
            disk = Disk.LOST
        if disk in (Disk.LOST, Disk.LOST_WITH_COPIES):
            place.files.lose()
        elif disk is Disk.STALE and place.image is not None:
            place.files.put_back(place.image)
        else:
            return
        self.struck[disk] += 1

    def _passed_on_by_others(self, place: Place) -> set[str]:
        others = [process for name, process in self._world.processes.items() if self._world.places[name] is not place]
        return {task for process in others for task in process.owned.passed_on}

    def end_what_lasted(self) -> None:
        """Of faults that last, those that have lasted long enough."""
        if not self._lasting:
            return
        for kind, name in [what for what, until in self._lasting.items() if until <= self._world.steps]:
            self._end(kind, name)

    def _end(self, kind: Kind, name: str) -> None:
        del self._lasting[kind, name]
        match kind:
            case Kind.CRASH:
                self._world.places[name].group.restart(self._world.places[name].instance)
                self._world.start(name)
            case Kind.FILL_DISK:
                self._world.places[name].files.free()
            case Kind.STORE:
                self._world.artifacts.away = False
            case Kind.BROKER:
                self._world.broker.away = False
            case Kind.FREEZE:
                self._thought_dead.pop(name, None)
            case _:
                pass

    def all_well(self) -> None:
        """The end of every fault that lasts."""
        for kind, name in list(self._lasting):
            self._end(kind, name)
        self._thought_dead.clear()
        for place in self._world.places.values():
            place.fuse.put_out()
        while unlearnt := [p for p in self._world.places.values() if p.instance in p.group.unlearnt]:
            for place in unlearnt:
                place.group.learn(place.instance)

    def _expire(self, platform: Platform) -> int:
        """Retention, as soon as it may come: a table's log is kept for longer than two copies. How many logs lost."""
        found = 0
        for (view, partition), copies in platform.tables.items():
            tp = TopicPartition(FEATURES.of(view).name, partition)
            if len(copies) == TABLE_COPIES and copies[0].position > self._world.broker.log(tp).beginning:
                found += 1
                self._world.broker.expire(tp, copies[0].position)
        return found
