"""Deals strikes to a platform under load: each waits until its victims have work in hand, and says what they had."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.crash_points import GIVING, RESTORING, TAKING, Armed
from tests.chaos.launcher import Instance
from tests.chaos.processes import Processes
from tests.chaos.schedule import READING, Kind, Strike, names, sibling
from tests.chaos.stream import Stream
from tests.chaos.work_in_hand import in_hand, is_copied, logs_of
from tests.e2e.evidence_of_run import task_paths

AT_ONCE = 4
WORK_WITHIN_S, CRASH_WITHIN_S, TAKEN_OVER_WITHIN_S = 60.0, 60.0, 60.0
COPIED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.03
FROZEN_S, GOES_ON_S = 1.5, 0.5  # before it is thawed, and before it is frozen again
NAP_S = 2.0


class Missed(AssertionError):
    """A strike that could not be dealt as planned: it counts as a failure of the run."""


@dataclass(slots=True)
class Dealt:
    """A strike, what each victim had in hand, and why it failed if it did."""

    strike: Strike
    in_hand: dict[str, str] = field(default_factory=dict[str, str])
    failure: str = ""
    at_s: float = 0.0
    seconds: float = 0.0


class Striker:
    """Deals strikes, some at once, never two to one service; each in its turn as far as that allows.

    `told` hears of each that is done.
    """

    def __init__(self, processes: Processes, stream: Stream, folder: Path, told: Callable[[Dealt], None]) -> None:
        self._processes, self._stream, self._folder, self._told = processes, stream, folder, told
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
        except AssertionError as failure:
            dealt.failure = f"{type(failure).__name__}: {failure}"
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
                self._until_it_has(sibling(victim), logs_of(self._processes.data, victim))
                dealt.in_hand[victim] += f"; {sibling(victim)} has its tasks"
            else:
                time.sleep(NAP_S)
        finally:
            self._processes.thaw([victim])

    def _die_giving(self, dealt: Dealt, giver: str, taker: str) -> None:
        self._met_with_work(dealt, [giver])
        self._processes.kill([giver])
        ashes, instance = self._armed(dealt.strike, giver)
        self._processes.await_up([giver])
        self._without(dealt, taker)
        self._processes.start(taker)
        self._until_dead_of(dealt, (ashes, instance), giver)

    def _die_taking(self, dealt: Dealt, taker: str) -> None:
        self._without(dealt, taker)
        self._until_dead_of(dealt, self._armed(dealt.strike, taker), taker)

    # --- parts

    def _without(self, dealt: Dealt, victim: str) -> None:
        """Kill it, and return when the other instance has its tasks."""
        self._met_with_work(dealt, [victim])
        logs = logs_of(self._processes.data, victim)
        self._processes.kill([victim])
        self._until_it_has(sibling(victim), logs)

    def _until_it_has(self, other: str, logs: Set[str]) -> None:
        since_s = time.monotonic()
        while (said := self._processes.picture(other, since_s)) is None or not logs <= said.applied.keys():
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
        dealt.in_hand[f"{victim} at its point"] = ashes.read_text()
        ashes.unlink()

    def _lose_disk(self, victim: str) -> None:
        service, _, number = victim.partition("-")
        for path in task_paths(self._processes.data, service, number or "0"):
            for file in path.parent.glob(f"{path.stem}*"):
                file.unlink()

    # --- work in hand

    def _met_with_work(self, dealt: Dealt, victims: Sequence[str]) -> None:
        """Freeze them, and return when each has something in hand: what it has not done now it does not do.

        Where nothing comes they go on for a while: one that has not opened its tasks yet is left to do so.
        """
        until_s = time.monotonic() + WORK_WITHIN_S
        while True:
            self._processes.freeze(victims)
            missing = self._find_work(dealt, victims)
            if not missing:
                return
            self._processes.thaw(victims)
            if time.monotonic() > until_s:
                raise Missed(f"no work came for {', '.join(missing)} in {WORK_WITHIN_S:.0f} s")
            self._processes.await_up(victims)
            time.sleep(GOES_ON_S)

    def _find_work(self, dealt: Dealt, victims: Collection[str]) -> list[str]:
        """Who of these frozen ones got nothing for a while."""
        until_s, blocks = time.monotonic() + FROZEN_S, self._stream.begun
        found: dict[str, str] = {}
        while len(found) < len(victims) and time.monotonic() < until_s:
            time.sleep(LOOK_EVERY_S)
            for name in set(victims) - found.keys():
                if text := self._work_of(name, self._stream.done - blocks):
                    found[name] = text
        dealt.in_hand |= found
        return sorted(set(victims) - found.keys())

    def _work_of(self, name: str, blocks: int) -> str:
        """`blocks`: published as a whole since it was frozen. The console has no files: of it they are the work."""
        if name == READING:
            return f"{blocks} blocks published since not read" if blocks > 0 else ""
        return in_hand(self._processes.data, name, self._processes.ends)
