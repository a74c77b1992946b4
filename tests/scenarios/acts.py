"""What happens to a simulated platform from outside, in its order: a list that can be drawn, played, and cut down."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from deploy.simulation.platform import TICK_MS, SimulatedPlatform
from shared.contracts.control import ApplyDefinitions
from shared.contracts.definitions import FeatureView, Model, Source
from tests.scenarios.later_release import later_release
from tests.scenarios.workload import MATURES_MS, Block, Sent

SETTLING = 3_000  # rounds
STORMY = range(20, 150)
UNTIL_ALL_IS_DECIDED = (0, 2 * MATURES_MS, 10 * MATURES_MS, 40 * MATURES_MS)


@dataclass(frozen=True, slots=True)
class Publish:
    """A client publishes a record."""

    sent: Sent


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of the sources' clock."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class Pass:
    """Time goes by, until the broker's clock shows `time_ms`.

    `after_ms`: until the registry's ticks do, and show so much more than they have shown: its clock may have jumped.
    """

    time_ms: int
    after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Somebody starts the next release of a service, beside the one that runs."""

    service: str


@dataclass(frozen=True, slots=True)
class Define:
    """Somebody asks for further definitions."""

    definitions: tuple[Source | FeatureView | Model, ...]


@dataclass(frozen=True, slots=True)
class Settle:
    """All faults end, and everything comes to rest."""


@dataclass(frozen=True, slots=True)
class Call:
    """Somebody does something else with the platform."""

    name: str
    call: Callable[[SimulatedPlatform], object]


@dataclass(frozen=True, slots=True)
class Act:
    """`steps` of the scheduler go by before it."""

    steps: int
    what: Publish | Tick | Pass | Define | Release | Settle | Call


def of_blocks(
    blocks: Sequence[Block], draw: random.Random, gap: int, later: Sequence[Source | FeatureView | Model] = ()
) -> Iterator[Act]:
    """Records and truths one by one, most ticks, and further definitions half-way, up to `gap` steps between them."""
    for number, block in enumerate(blocks):
        if later and number == len(blocks) // 2:
            yield Act(draw.randrange(gap), Define(tuple(later)))
        for sent in (*block.records, *block.truths):
            yield Act(draw.randrange(gap), Publish(sent))
        if draw.random() < 0.7:
            yield Act(draw.randrange(gap), Tick(block.end_ms))


def at_the_end(end_ms: int, draw: random.Random, steps: range = STORMY) -> Iterator[Act]:
    """Until everything has matured, expired, and every deadline has passed."""
    for after_ms in UNTIL_ALL_IS_DECIDED:
        yield Act(0, Tick(end_ms + after_ms))
        yield settling(draw, steps)


def settling(draw: random.Random, steps: range = STORMY) -> Act:
    """So many more steps, faults included, then rest."""
    return Act(draw.choice(steps), Settle())


def play(platform: SimulatedPlatform, acts: Iterable[Act]) -> None:
    """One after the other. Raises DoesNotSettle."""
    for act in acts:
        platform.world.run(act.steps)
        match act.what:
            case Publish(sent):
                platform.publish(sent.source, sent.record, sent.partition)
            case Tick(time_ms):
                platform.tick(time_ms)
            case Pass():
                _pass(platform, act.what)
            case Release(service):
                platform.world.release(service, later_release)
            case Define(definitions):
                based_on = platform.newest.definitions_at
                command = ApplyDefinitions(request_id="later", based_on=based_on, definitions=definitions, by="ann")
                platform.say(command, "")
            case Settle():
                platform.world.settle(SETTLING)
            case Call(_, call):
                call(platform)


def _pass(platform: SimulatedPlatform, act: Pass) -> None:
    world = platform.world
    if act.after_ms is None:
        world.clock.pass_ms(max(0, act.time_ms - world.clock.wall_ms()))
        return
    shown_ms = platform.newest.ticks.get("wall", 0) + TICK_MS + act.after_ms
    newest_ms = max(clock.wall_ms() for clock in world.clocks("registry"))
    world.clock.pass_ms(max(0, max(act.time_ms, shown_ms) - newest_ms))
