"""A judge that stands still while a rollout is in progress, and then says of long ago what it has found."""

from __future__ import annotations

from deploy.simulation.platform import SimulatedPlatform
from shared.contracts.control import Phase
from tests.scenarios.simulated import FITS, LONG, settle
from tests.scenarios.workload import LATENESS_MS, MATURES_MS, MODEL, T0_MS, blocks, definitions

JUDGE = "monitoring"
AWAY_BLOCKS = 16  # of two minutes each: what it says then is older than labels take to expire


def without_the_judge(workload: int, count: int = LONG) -> SimulatedPlatform:
    """In lockstep; the judge is away from the beginning of the first rollout on, for so many blocks."""
    platform = SimulatedPlatform(1, definitions(), FITS)
    world, away, left = platform.world, None, AWAY_BLOCKS
    platform.tick(T0_MS - LATENESS_MS)
    settle(platform)
    played = blocks(workload, count)
    for block in played:
        if away is None and left and _in_shadow(platform):
            away = world.processes.pop(JUDGE)
        if away is not None:
            left -= 1
            if not left:
                world.processes[JUDGE], away = away, None
        for part in (block.records, block.truths):
            for sent in part:
                platform.publish(sent.source, sent.record, sent.partition)
            settle(platform)
        platform.tick(block.end_ms)
        settle(platform)
    if away is not None:
        world.processes[JUDGE] = away
    for after_ms in (0, 2 * MATURES_MS, 10 * MATURES_MS, 40 * MATURES_MS):
        platform.tick(played[-1].end_ms + after_ms)
        settle(platform)
    return platform


def _in_shadow(platform: SimulatedPlatform) -> bool:
    rollout = platform.newest.model(MODEL).rollout
    return rollout is not None and rollout.phase is Phase.SHADOW
