"""Plays a workload on the simulated platform: in lockstep, as a replay does, or freely, with ticks whenever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.remembered_fits import RememberedFits
from deploy.simulation.world import ALL_FAULTS, NO_FAULTS, Faults
from shared.contracts.control import ApplyDefinitions
from shared.contracts.definitions import FeatureView, Model, Source
from shared.runtime.service import Service
from tests.scenarios.workload import LATENESS_MS, MATURES_MS, T0_MS, Block, Sent, blocks, definitions

FITS = RememberedFits()
Definitions = Sequence[Source | FeatureView | Model]
Blocks = Callable[..., list[Block]]
Altered = Callable[[Service], Service]
SHORT, LONG = 26, 56
SETTLING = 20_000
# Ticks until everything has matured, expired, and every deadline has passed.
AFTER_END_MS = (0, 2 * MATURES_MS, 10 * MATURES_MS, 40 * MATURES_MS)


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
    _end(platform, played[-1].end_ms)
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
    draw, world = platform.world.random, platform.world
    played = made(seed, count, careless=True)
    for number, block in enumerate(played):
        if later and number == len(played) // 2:
            based_on = platform.newest.definitions_at
            platform.say(
                ApplyDefinitions(request_id="later", based_on=based_on, definitions=tuple(later), by="ann"), ""
            )
        for sent in (*block.records, *block.truths):
            _send(platform, [sent])
            world.run(draw.randrange(60))
        if draw.random() < 0.7:
            platform.tick(block.end_ms)
    settle(platform)
    if before_end is not None:
        before_end(platform)
        settle(platform)
    _end(platform, played[-1].end_ms)
    return platform


def _end(platform: SimulatedPlatform, end_ms: int) -> None:
    for after_ms in AFTER_END_MS:
        platform.tick(end_ms + after_ms)
        settle(platform)


def settle(platform: SimulatedPlatform) -> None:
    if platform.world.faults != NO_FAULTS:
        platform.world.run(platform.world.random.randrange(20, 150))
    platform.world.settle(SETTLING)


def _send(platform: SimulatedPlatform, sent: Sequence[Sent]) -> None:
    for one in sent:
        platform.publish(one.source, one.record, one.partition)
