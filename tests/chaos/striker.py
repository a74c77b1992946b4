"""Deals strikes to a platform under load: each waits until its victims have work in hand, and says what they had."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.crash_points import GIVING, RESTORING, TAKING, Armed
from tests.chaos.http_client import HttpClient
from tests.chaos.launcher import Instance
from tests.chaos.log_ends import LogEnds
from tests.chaos.processes import Processes
from tests.chaos.schedule import DECIDING, READING, Kind, Strike, names, sibling
from tests.chaos.work_in_hand import InHand, in_hand, is_copied, logs_of, tasks_of
from tests.e2e.evidence_of_run import path_id, task_paths

AT_ONCE = 4
WORK_WITHIN_S, CRASH_WITHIN_S, TAKEN_OVER_WITHIN_S = 60.0, 60.0, 60.0
COPIED_WITHIN_S = 60.0
MOVED_WITHIN_S = 15.0  # a task that is given away to one that was started
# Tasks move again and again until one has work in hand as it does: of those that a group tells, perhaps one in three.
MOVES_WITHIN_S = 240.0
LOOK_EVERY_S, LOOK_AT_LOGS_EVERY_S = 0.03, 0.005
GROWS_WITHIN_S = 1.0
GOES_ON_S = 0.2  # at most, before it is frozen again
UNANSWERED_S = 0.03  # for an answer that is on its way
HELD_AT_MOST_S = 4.0  # frozen one after the other: less than the session of a group's member
NAP_S = 2.0
# Who seldom has something in hand is frozen first, then those that others feed before those that feed them.
FIRST = (*DECIDING, READING, "monitoring", "serving", "features", "ingestion")


class Missed(AssertionError):
    """A strike that could not be dealt as planned: it counts as a failure of the run."""


@dataclass(frozen=True, slots=True)
class Woke:
    """An owner that was thought dead: its tasks, and how far each log reached when it woke up, and somewhat later."""

    tasks: frozenset[str]
    woke: Mapping[str, int]
    learned: Mapping[str, int]


@dataclass(slots=True)
class Dealt:
    """A strike, what each victim had in hand, and why it failed if it did.

    `woke`: of one that was frozen until another instance had taken its tasks over.
    """

    strike: Strike
    in_hand: dict[str, InHand] = field(default_factory=dict[str, InHand])
    woke: Woke | None = None
    idle: int = 0  # how often somebody was frozen who had nothing in hand, and went on: no strike
    failure: str = ""
    at_s: float = 0.0
    seconds: float = 0.0


class Striker:
    """Deals strikes, some at once, never two to one service; each in its turn as far as that allows.

    `told` hears of each that is done.
    """

    def __init__(
        self, processes: Processes, client: HttpClient, ends: LogEnds, folder: Path, told: Callable[[Dealt], None]
    ) -> None:
        self._processes, self._client, self._ends, self._folder, self._told = processes, client, ends, folder, told
        self._busy: list[frozenset[str]] = []
        self._freed = threading.Condition()
        self._ashes = 0

    def deal(self, strikes: Sequence[Strike]) -> list[Dealt]:
        """All of them; returns when each has hit or was missed, and everybody has been started again."""
        began_s = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="striker") as threads:
            dealt: list[Future[Dealt]] = []
            left = list(strikes)
            while left:
                with self._freed:
                    self._freed.wait_for(lambda: self._next(left) is not None)
                    strike = self._next(left)
                    assert strike is not None
                    left.remove(strike)
                    self._busy.append(strike.services)
                dealt.append(threads.submit(self._one, strike, began_s))
        return [future.result() for future in dealt]

    def _next(self, left: Sequence[Strike]) -> Strike | None:
        """The first whose services are free: those that share tasks by a group take longest, and hold up nobody."""
        busy = frozenset[str]().union(*self._busy)
        free = (strike for strike in left if not busy & strike.services)
        return None if len(self._busy) >= AT_ONCE else next(free, None)

    def _one(self, strike: Strike, began_s: float) -> Dealt:
        dealt = Dealt(strike, at_s=time.monotonic() - began_s)
        try:
            self._strike(dealt)
        except Exception as failure:  # noqa: BLE001  whatever it is, this strike was not dealt, and the others are
            dealt.failure = f"{type(failure).__name__}: {failure}"
            self._processes.thaw(strike.victims)
        finally:
            with self._freed:
                self._busy.remove(strike.services)
                self._freed.notify_all()
        dealt.seconds = time.monotonic() - began_s - dealt.at_s
        self._told(dealt)
        return dealt

    def _strike(self, dealt: Dealt) -> None:
        strike = dealt.strike
        self._processes.await_up([name for service in strike.services for name in names(service)])
        if strike.kind is Kind.FREEZE:
            self._freeze(dealt, strike.victims[0])
        elif strike.point is None:
            self._kill(dealt, strike.victims, lose_disk=strike.kind is Kind.DISK)
        elif strike.point in TAKING:
            self._die_taking(dealt, strike.victims[0])
        elif strike.point in GIVING:
            self._die_giving(dealt, *strike.victims)
        else:
            [victim] = strike.victims
            if strike.point in RESTORING:
                self._until_copied(victim)
            self._met_with_work(dealt, [victim])
            self._processes.kill([victim])
            if strike.point in RESTORING:
                self._lose_disk(victim)
            self._until_dead_of(dealt, self._armed(strike, victim), victim)

    # --- kinds

    def _kill(self, dealt: Dealt, victims: Sequence[str], *, lose_disk: bool) -> None:
        self._met_with_work(dealt, victims)
        self._processes.kill(victims)
        for victim in victims:
            if lose_disk:
                self._lose_disk(victim)
            self._processes.start(victim)

    def _freeze(self, dealt: Dealt, victim: str) -> None:
        """Its tasks move to the other instance, where the broker tells who lives; locks go with their process only."""
        try:
            self._met_with_work(dealt, [victim])
            if victim.partition("-")[0] == self._processes.in_a_group:
                self._sleep_too_long(dealt, victim)
            else:
                time.sleep(NAP_S)
        finally:
            self._processes.thaw([victim])

    def _sleep_too_long(self, dealt: Dealt, victim: str) -> None:
        """Thaw it when the other one has its tasks, and has come as far as their logs reached then."""
        tasks, logs, other = (
            tasks_of(self._processes.data, victim),
            logs_of(self._processes.data, victim),
            sibling(victim),
        )
        self._until_it_has(other, dict.fromkeys(logs, 0))
        self._until_it_has(other, self._ends.of(logs))
        woke = self._all_ends()
        self._processes.thaw([victim])
        self._processes.await_up([victim])
        dealt.woke = Woke(frozenset(tasks), woke, self._all_ends())

    def _all_ends(self) -> Mapping[str, int]:
        return self._ends.of([log for log, end in self._processes.ends.items() if end])  # of topics that are there

    def _die_giving(self, dealt: Dealt, giver: str, taker: str) -> None:
        """Again, if none of the tasks that it gave away had anything left to do."""
        self._met_with_work(dealt, [giver])
        self._processes.kill([giver])
        ashes, instance = self._armed(dealt.strike, giver)
        self._processes.await_up([giver])
        until_s = time.monotonic() + MOVES_WITHIN_S
        while not instance.ended.is_set() and time.monotonic() < until_s:
            self._without(dealt, taker)
            self._come_while_asleep(giver, taker)
            self._until_moved(instance, taker)
        self._until_dead_of(dealt, (ashes, instance), giver)

    def _come_while_asleep(self, giver: str, taker: str) -> None:
        """Start the taker; the giver hears of it only when it wakes up to entries that have come for it meanwhile."""
        self._processes.freeze([giver])
        try:
            self._processes.start(taker)
            until_s = time.monotonic() + HELD_AT_MOST_S
            while self._processes.picture(taker) is None and time.monotonic() < until_s:
                time.sleep(LOOK_EVERY_S)
        finally:
            self._processes.thaw([giver])

    def _die_taking(self, dealt: Dealt, taker: str) -> None:
        """Again, if none of the tasks that it took over had anything left to do."""
        until_s = time.monotonic() + MOVES_WITHIN_S
        while True:
            self._without(dealt, taker)
            ashes, instance = self._armed(dealt.strike, taker)
            self._until_moved(instance, taker)
            if instance.ended.is_set() or time.monotonic() > until_s:
                break
        self._until_dead_of(dealt, (ashes, instance), taker)

    def _until_moved(self, dying: Instance, taker: str) -> None:
        """Return when one died of it, or the taker has tasks."""
        until_s, since_s = time.monotonic() + MOVED_WITHIN_S, time.monotonic()
        service = taker.partition("-")[0]
        logs = {log for one in names(service) for log in self._files_of(one)}
        while not dying.ended.wait(LOOK_EVERY_S) and time.monotonic() < until_s:
            said = self._processes.picture(taker, since_s)
            if said is not None and not said.waiting and logs & said.applied.keys():
                return

    # --- parts

    def _without(self, dealt: Dealt, victim: str) -> None:
        """Kill it, and return when the other instance has its tasks."""
        self._met_with_work(dealt, [victim])
        logs = logs_of(self._processes.data, victim)
        self._processes.kill([victim])
        self._until_it_has(sibling(victim), dict.fromkeys(logs, 0))

    def _until_it_has(self, other: str, logs: Mapping[str, int]) -> None:
        """These logs, read as far as that."""
        since_s = time.monotonic()
        while (said := self._processes.picture(other, since_s)) is None or not _has(said.applied, logs):
            if time.monotonic() > since_s + TAKEN_OVER_WITHIN_S:
                raise Missed(f"{other} did not take over {', '.join(sorted(logs))} in {TAKEN_OVER_WITHIN_S:.0f} s")
            time.sleep(LOOK_EVERY_S)

    def _until_copied(self, victim: str) -> None:
        """Where nothing was copied yet there is nothing to restore, and the point is never met."""
        until_s = time.monotonic() + COPIED_WITHIN_S
        copied = False
        while not copied:
            if time.monotonic() > until_s:
                raise Missed(f"not all tasks of {victim} were copied in {COPIED_WITHIN_S:.0f} s")
            self._processes.await_up([victim])
            time.sleep(GOES_ON_S)
            self._processes.freeze([victim])
            copied = is_copied(self._processes.data, victim)
            self._processes.thaw([victim])
        self._processes.await_up([victim])

    def _armed(self, strike: Strike, victim: str) -> tuple[Path, Instance]:
        assert strike.point is not None
        with self._freed:
            self._ashes += 1
            ashes = self._folder / f"ashes-{self._ashes}"
        return ashes, self._processes.start(victim, Armed(strike.point, strike.nth, ashes))

    def _until_dead_of(self, dealt: Dealt, armed: tuple[Path, Instance], victim: str) -> None:
        """Return once it died at its point, and start it again."""
        ashes, instance = armed
        died = instance.ended.wait(CRASH_WITHIN_S)
        said = "; ".join(f"{name} {self._processes.state(name)}" for name in names(victim.partition("-")[0]))
        if not died:
            self._processes.kill([victim])
        self._processes.start(victim)
        if not died or not ashes.exists():
            raise Missed(f"{victim} did not come to die in {CRASH_WITHIN_S:.0f} s: {dealt.strike.point}. {said}")
        dealt.in_hand[f"{victim} at its point"] = InHand(ashes.read_text(), at_work=True)
        ashes.unlink()

    def _lose_disk(self, victim: str) -> None:
        service, _, number = victim.partition("-")
        for path in task_paths(self._processes.data, service, number or "0"):
            for file in path.parent.glob(f"{path.stem}*"):
                file.unlink()

    # --- work in hand

    def _met_with_work(self, dealt: Dealt, victims: Sequence[str]) -> None:
        """Freeze them, and return when each has something in hand that was there when it was frozen.

        Who has nothing goes on, and is frozen another time. Those that have something wait for the others; not for
        long, or they are thought dead.
        """
        until_s = time.monotonic() + WORK_WITHIN_S * len(victims)
        while missing := self._frozen_in_turn(dealt, sorted(victims, key=_turn), until_s):
            if time.monotonic() > until_s:
                raise Missed(f"no work came for {missing} in {WORK_WITHIN_S * len(victims):.0f} s")

    def _frozen_in_turn(self, dealt: Dealt, victims: Sequence[str], until_s: float) -> str:
        """Empty, or who had nothing until time was up: then nobody is frozen."""
        found: dict[str, InHand] = {}
        held_since_s: float | None = None
        for victim in victims:
            while (work := self._frozen(victim)) is None:
                dealt.idle += 1
                now_s = time.monotonic()
                if now_s > until_s or (held_since_s is not None and now_s > held_since_s + HELD_AT_MOST_S):
                    self._processes.thaw(list(found))
                    self._processes.await_up(victims)
                    return victim
                self._processes.await_up([victim])
                time.sleep(random.uniform(0, GOES_ON_S))
            found[victim] = work
            held_since_s = held_since_s or time.monotonic()
        dealt.in_hand |= found
        return ""

    def _frozen(self, victim: str) -> InHand | None:
        """Freeze it just when there is something for it; None if it had nothing even so, and goes on."""
        work = self._asked_and_frozen() if victim == READING else self._fed_and_frozen(victim)
        if work is None:
            self._processes.thaw([victim])
        return work

    def _fed_and_frozen(self, victim: str) -> InHand | None:
        """What stood in its logs when it was asked for, before it was frozen, and what its files hold."""
        ends = self._grown(victim)
        self._processes.freeze([victim])
        return in_hand(self._processes.data, victim, ends)

    def _grown(self, victim: str) -> Mapping[str, int]:
        """How far its logs reach, at once when one of them has grown."""
        said = self._processes.picture(victim)
        logs = self._files_of(victim) & (said.applied.keys() if said else set[str]())
        before = ends = self._ends.of(logs)
        until_s = time.monotonic() + GROWS_WITHIN_S
        while ends == before and time.monotonic() < until_s:
            time.sleep(LOOK_AT_LOGS_EVERY_S)
            ends = self._ends.of(logs)
        return ends

    def _files_of(self, process: str) -> set[str]:
        """The logs of the tasks that it has files of, whosever they are now."""
        service, _, number = process.partition("-")
        paths = task_paths(self._processes.data, service, number or "0")
        return {"/".join(path_id(path).split("/")[2:]) for path in paths}

    def _asked_and_frozen(self) -> InHand | None:
        """The console has no task, and no file: a command that it has not answered is its work."""
        command = self._client.command()
        time.sleep(random.uniform(0, UNANSWERED_S))
        self._processes.freeze([READING])
        if command.answered.wait(UNANSWERED_S):
            return None
        return InHand(f"{command.name}, asked before it was frozen and not answered", at_work=True)


def _has(applied: Mapping[str, int], logs: Mapping[str, int]) -> bool:
    return all(applied.get(log, -1) >= end for log, end in logs.items())


def _turn(victim: str) -> int:
    return FIRST.index(victim.partition("-")[0])
