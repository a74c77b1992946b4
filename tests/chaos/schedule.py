"""What strikes whom, drawn from a seed: the same seed and size give the same strikes, in the same order."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from tests.chaos.crash_points import GIVING, PUBLISHING, RESTORING, TAKING, Point

Card = TypeVar("Card")
# Two of each that shares partitions; of the others a second one would only wait.
INSTANCES = {"ingestion": 2, "features": 2, "serving": 2, "monitoring": 2}
DECIDING = ("registry", "training")  # one task on control.v1, which seldom derives anything
READING = "console"  # no task at all
WORKING = (*INSTANCES, *DECIDING)
SERVICES = (*WORKING, READING)


class Kind(StrEnum):
    """KILL: one process. SEVERAL: of different services or all of one, at once. DISK: its files go with it.

    CRASH: a killed process dies once more, at a named point. FREEZE: SIGSTOP, then SIGCONT; where a consumer group
    tells who lives (every other one is there), not before the other instance has its tasks.
    """

    KILL = "kill -9"
    SEVERAL = "kill -9 of several at once"
    DISK = "kill -9 and loss of the disk"
    CRASH = "crash at a named point"
    FREEZE = "SIGSTOP, then SIGCONT"


SHARES = {Kind.KILL: 6, Kind.CRASH: 5, Kind.SEVERAL: 2, Kind.DISK: 1, Kind.FREEZE: 2}


@dataclass(frozen=True, slots=True)
class Strike:
    """`point`, `nth`: of a crash; there `victims` is who meets it, and who else has to die for that."""

    kind: Kind
    victims: tuple[str, ...]
    point: Point | None = None
    nth: int = 1

    @property
    def deaths(self) -> int:
        """How many processes it kills: a crash comes on top of the kill before it."""
        return 0 if self.kind is Kind.FREEZE else len(self.victims) + (self.kind is Kind.CRASH)

    @property
    def services(self) -> frozenset[str]:
        """Those whose processes it needs for itself."""
        return frozenset(victim.partition("-")[0] for victim in self.victims)


def names(service: str) -> tuple[str, ...]:
    """The processes of a service."""
    return (service, *(f"{service}-{n}" for n in range(1, INSTANCES.get(service, 1))))


def sibling(process: str) -> str:
    """The other instance of its service."""
    [other] = [name for name in names(process.partition("-")[0]) if name != process]
    return other


def schedule(seed: int, kills: int) -> list[Strike]:
    """Strikes that kill so many processes, a few more at most. Each kind, point and process gets its turn in time."""
    draw = random.Random(f"chaos {seed}")
    kinds = _dealt(draw, [kind for kind, share in SHARES.items() for _ in range(share)])
    points = _dealt(draw, list(Point))
    of_points = {point: _dealt(draw, _may_meet(point)) for point in Point}
    of_kinds = {kind: _dealt(draw, _may_suffer(kind)) for kind in Kind}
    of_kinds[Kind.FREEZE] = _by_turns(_dealt(draw, names(in_a_group(seed))), of_kinds[Kind.FREEZE])
    found: list[Strike] = []
    dead = 0
    while dead < kills:
        kind = next(kinds)
        strike = (
            _crash(draw, point := next(points), next(of_points[point]))
            if kind is Kind.CRASH
            else Strike(kind, _several(draw) if kind is Kind.SEVERAL else (next(of_kinds[kind]),))
        )
        found.append(strike)
        dead += strike.deaths
    return found


def in_a_group(seed: int) -> str:
    """Which of the services with several instances know each other by a consumer group; the others do so by locks."""
    return random.Random(f"group of {seed}").choice(sorted(INSTANCES))


def _dealt(draw: random.Random, cards: Sequence[Card]) -> Iterator[Card]:
    """All cards in any order, again and again."""
    while True:
        yield from draw.sample(cards, len(cards))


def _by_turns(*dealers: Iterator[Card]) -> Iterator[Card]:
    """One of each, again and again."""
    while True:
        yield from map(next, dealers)


def _may_meet(point: Point) -> list[str]:
    return _processes(tuple(INSTANCES) if point in GIVING | TAKING | PUBLISHING else WORKING)


def _may_suffer(kind: Kind) -> list[str]:
    return _processes(WORKING if kind is Kind.DISK else SERVICES)


def _processes(services: Sequence[str]) -> list[str]:
    return [name for service in services for name in names(service)]


def _crash(draw: random.Random, point: Point, victim: str) -> Strike:
    service = victim.partition("-")[0]
    if point in GIVING:
        return Strike(Kind.CRASH, (victim, sibling(victim)), point)
    if point in RESTORING | TAKING or point in (Point.COPY_MADE, Point.COPY_STORED):
        return Strike(Kind.CRASH, (victim,), point)
    return Strike(Kind.CRASH, (victim,), point, draw.randint(1, 3 if service in DECIDING else 20))


def _several(draw: random.Random) -> tuple[str, ...]:
    if draw.random() < 0.3:
        return names(draw.choice(list(INSTANCES)))
    return tuple(sorted(draw.sample(_processes(WORKING), draw.randint(2, 4))))
