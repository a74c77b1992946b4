"""What goes wrong, how likely, and when: strikes that a seed draws, or those of a list, to play them once more."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from shared.runtime.memory_log import Fate


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault is, a scheduler's step or a send. None of them by default.

    `crash`: a process is killed between two things that it does, `crash_within`: in the midst of one. `lose_disk`,
    `stale_disk`, `stale_copy`: of a crash, that the disk is lost with it, or put back as it once was, or lost along
    with the newest copies of what was on it. `drop`: an instance is thought dead while it goes on, `freeze`: while it
    stands still. `fill_disk`, `store`, `broker`: a disk is full, the object store or the broker is away, for a while.
    `slow`: what a process has handed away waits, `worker`: what fits next dies. `clock`: a wall clock jumps. `expire`:
    the logs of tables lose what the older of two copies holds.
    """

    crash: float = 0.0
    crash_within: float = 0.0
    repeat: float = 0.0
    lose_ack: float = 0.0
    fail: float = 0.0
    delay: float = 0.0
    lose_disk: float = 0.0
    stale_disk: float = 0.0
    stale_copy: float = 0.0
    drop: float = 0.0
    freeze: float = 0.0
    fill_disk: float = 0.0
    store: float = 0.0
    broker: float = 0.0
    slow: float = 0.0
    worker: float = 0.0
    clock: float = 0.0
    expire: float = 0.0
    shuffle: bool = True


NO_FAULTS = Faults(shuffle=False)
ALL_FAULTS = Faults(
    crash=0.006, crash_within=0.006, repeat=0.02, lose_ack=0.01, fail=0.01, delay=0.02, lose_disk=0.1, stale_disk=0.1,
    stale_copy=0.1, drop=0.003, freeze=0.002, fill_disk=0.002, store=0.002, broker=0.001, slow=0.002, worker=0.001,
    clock=0.002, expire=0.002,
)  # fmt: skip


class Kind(StrEnum):
    """What strikes, in words. The first of them strike a process, the last a send."""

    CRASH = "killed"
    IMAGE = "disk imaged"  # no fault by itself: a later crash may put it back
    DROP = "thought dead"
    FREEZE = "frozen"
    FILL_DISK = "disk full"
    SLOW = "work delayed"
    CLOCK = "clock jumped"
    STORE = "store away"
    BROKER = "broker away"
    WORKER = "fit died"
    EXPIRE = "table's log expired"
    SEND = "send"


class Disk(StrEnum):
    """What a crash does to the disk."""

    KEPT = "disk kept"
    LOST = "disk lost"
    STALE = "stale disk put back"
    LOST_WITH_COPIES = "disk and newest copies lost"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault. `at`: the scheduler's step, or the number of the send. `whom`: a process, or nobody in particular.

    `lasts`: so many steps; of a crash, until the process is started again. `calls`: how many more calls into its ports
    a process makes before it is killed within one; 0: between two steps of its own.
    """

    at: int
    kind: Kind
    whom: str = ""
    lasts: int = 0
    disk: Disk = Disk.KEPT
    calls: int = 0
    jump_ms: int = 0
    fate: Fate = Fate.DELIVER


class Storm(Protocol):
    """Where strikes come from."""

    def due(self, step: int, names: Sequence[str]) -> Iterable[Strike]:
        """What strikes at this step. `names`: the processes that there are."""
        ...

    def fate(self, send: int, whom: str) -> Fate:
        """What becomes of the send with this number, by this process."""
        ...


class DrawnStorm:
    """Strikes as likely as `faults` says. They depend on the seed alone, not on what the processes do meanwhile.

    `drawn` keeps them: a `ListedStorm` of them does the same again.
    """

    def __init__(self, seed: int, faults: Faults) -> None:
        self._steps, self._sends = random.Random(f"strikes of {seed}"), random.Random(f"fates of {seed}")
        self._faults, self.drawn = faults, list[Strike]()
        crashes = faults.crash + faults.crash_within
        self._likely = {
            Kind.CRASH: crashes, Kind.IMAGE: faults.stale_disk / 20, Kind.DROP: faults.drop, Kind.FREEZE: faults.freeze,
            Kind.FILL_DISK: faults.fill_disk, Kind.SLOW: faults.slow, Kind.CLOCK: faults.clock,
            Kind.STORE: faults.store, Kind.BROKER: faults.broker, Kind.WORKER: faults.worker,
            Kind.EXPIRE: faults.expire,
        }  # fmt: skip
        self._within = faults.crash_within / crashes if crashes else 0.0
        self._any = sum(self._likely.values())
        self._fates = (
            (Fate.REPEAT, faults.repeat), (Fate.LOSE_ACK, faults.lose_ack), (Fate.FAIL, faults.fail),
            (Fate.DELAY, faults.delay),
        )  # fmt: skip
        self._next = self._after(0)

    def _after(self, step: int) -> float:
        if not self._any:
            return math.inf
        return step + 1 + int(math.log(1.0 - self._steps.random()) / math.log(1.0 - min(self._any, 0.999)))

    def due(self, step: int, names: Sequence[str]) -> Iterable[Strike]:
        if step < self._next:
            return ()
        self._next = self._after(step)
        strike = self._strike(step, names)
        self.drawn.append(strike)
        return (strike,)

    def _strike(self, step: int, names: Sequence[str]) -> Strike:
        draw = self._steps
        [kind] = draw.choices(list(self._likely), list(self._likely.values()))
        strike = Strike(step, kind, draw.choice(names))
        match kind:
            case Kind.CRASH:
                return self._crash(strike)
            case Kind.CLOCK:
                return replace(strike, jump_ms=draw.choice((-1, 1)) * int(10 ** draw.uniform(2, 7)))
            case Kind.STORE | Kind.BROKER:
                return replace(strike, whom="", lasts=int(draw.expovariate(1 / 50)) + 1)
            case Kind.WORKER:
                return replace(strike, whom="")
            case Kind.FREEZE | Kind.FILL_DISK | Kind.SLOW:
                return replace(strike, lasts=int(draw.expovariate(1 / 300)) + 1)
            case _:
                return strike

    def _crash(self, strike: Strike) -> Strike:
        draw, faults = self._steps, self._faults
        calls = draw.randrange(1, 12) if draw.random() < self._within else 0
        lasts = draw.randrange(20, 400) if draw.random() < 0.5 else 0
        disks = {Disk.LOST: faults.lose_disk, Disk.STALE: faults.stale_disk, Disk.LOST_WITH_COPIES: faults.stale_copy}
        kept = max(0.0, 1.0 - sum(disks.values()))
        [disk] = draw.choices([Disk.KEPT, *disks], [kept, *disks.values()])
        return replace(strike, calls=calls, lasts=lasts, disk=disk)

    def fate(self, send: int, whom: str) -> Fate:
        draw = self._sends.random()
        for fate, share in self._fates:
            if draw < share:
                self.drawn.append(Strike(send, Kind.SEND, whom, fate=fate))
                return fate
            draw -= share
        return Fate.DELIVER


class ListedStorm:
    """Exactly these strikes."""

    def __init__(self, strikes: Sequence[Strike]) -> None:
        self._due: dict[int, list[Strike]] = defaultdict(list)
        self._fates = {strike.at: strike.fate for strike in strikes if strike.kind is Kind.SEND}
        for strike in strikes:
            if strike.kind is not Kind.SEND:
                self._due[strike.at].append(strike)

    def due(self, step: int, names: Sequence[str]) -> Iterable[Strike]:
        return (strike for strike in self._due.get(step, ()) if strike.whom in ("", *names))

    def fate(self, send: int, whom: str) -> Fate:
        return self._fates.get(send, Fate.DELIVER)
