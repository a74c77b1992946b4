"""Plays a workload on the simulated platform: in lockstep, as a replay does, or freely, with ticks whenever."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.remembered_fits import RememberedFits
from deploy.simulation.world import ALL_FAULTS, NO_FAULTS, Faults
from shared.contracts.definitions import FeatureView, Model, Source
from shared.runtime.service import Service
from tests.scenarios.acts import SETTLING, UNTIL_ALL_IS_DECIDED, at_the_end, of_blocks, play, settling
from tests.scenarios.workload import LATENESS_MS, T0_MS, Block, Sent, blocks, definitions

FITS = RememberedFits()
Definitions = Sequence[Source | FeatureView | Model]
Blocks = Callable[..., list[Block]]
Altered = Callable[[Service], Service]
SHORT, LONG = 26, 56
GAP = 60  # steps of the scheduler between two records, at most


# Those that decide nothing: a run whose fit dies has failed, and what follows is another story.
UNDECIDING = replace(ALL_FAULTS, worker=0.0)


def as_it_is(service: Service) -> Service:
    """A service as its own `build` gives it."""
    return service


def lockstep(
    workload: int,
    schedule: int,
    faults: Faults = NO_FAULTS,
    declared: Definitions | None = None,
    count: int = LONG,
    instances: int = 1,
    made: Blocks = blocks,
    altered: Altered = as_it_is,
) -> SimulatedPlatform:
    """Block by block: records, settle, labels, settle, tick, settle. `schedule` seeds who runs when and what fails."""
    platform = SimulatedPlatform(
        schedule, declared or definitions(), FITS, faults, instances=instances, altered=altered
    )
    platform.tick(T0_MS - LATENESS_MS)
    settle(platform)
    played = made(workload, count)
    for block in played:
        for part in (block.records, block.truths):
            _send(platform, part)
            settle(platform)
        platform.tick(block.end_ms)
        settle(platform)
    for after_ms in UNTIL_ALL_IS_DECIDED:
        platform.tick(played[-1].end_ms + after_ms)
        settle(platform)
    return platform


@cache
def calm(workload: int) -> SimulatedPlatform:
    """In lockstep without faults, played once for all tests that only look at it."""
    return lockstep(workload, schedule=1)


def free(
    seed: int,
    faults: Faults = ALL_FAULTS,
    declared: Definitions | None = None,
    count: int = SHORT,
    made: Blocks = blocks,
    later: Definitions = (),
    instances: int = 1,
    altered: Altered = as_it_is,
    before_end: Callable[[SimulatedPlatform], None] | None = None,
) -> SimulatedPlatform:
    """Everything goes on at once; ticks come where they come, and clients choose any partition.

    `later`: definitions that are asked for half-way, while records are on their way. `before_end`: what somebody does
    when all has settled, before time goes on.
    """
    platform = SimulatedPlatform(seed, declared or definitions(), FITS, faults, instances=instances, altered=altered)
    draw, played = random.Random(f"gaps of {seed}"), made(seed, count, careless=True)
    play(platform, [*of_blocks(played, draw, GAP, later), settling(draw)])
    if before_end is not None:
        before_end(platform)
        play(platform, [settling(draw)])
    play(platform, at_the_end(played[-1].end_ms, draw))
    return platform


def settle(platform: SimulatedPlatform) -> None:
    """Some more faults, if there are any, then rest."""
    if platform.world.faults != NO_FAULTS:
        platform.world.run(platform.world.random.randrange(20, 150))
    platform.world.settle(SETTLING)


def _send(platform: SimulatedPlatform, sent: Sequence[Sent]) -> None:
    for one in sent:
        platform.publish(one.source, one.record, one.partition)
