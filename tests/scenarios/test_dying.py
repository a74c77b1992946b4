"""A history with every fault, in which a process also dies at a named point: it settles, and the invariants hold."""

from __future__ import annotations

import pytest

from deploy.simulation.faults import Kind
from tests.chaos.crash_points import Point
from tests.scenarios.dying import dying
from tests.scenarios.simulated import free
from tests.scenarios.test_simulation import violations

# Files in memory have nothing beside them: that point is met by real ones only.
POINTS = [point for point in Point if point is not Point.COPY_WRITTEN]
SLICE = [Point.IN_COMMIT, Point.PUBLISHED, Point.COPY_RESTORED, Point.HANDED_OVER]
RARE = {Point.COPY_FOUND, Point.COPY_RESTORED, Point.HANDED_OVER, Point.HANDING_OVER, Point.TAKEN_OVER}


def holds_dying(point: Point, seed: int) -> None:
    nth = 1 if point in RARE else 1 + 17 * seed
    with dying(point, nth) as met:
        platform = free(seed, instances=2)
    assert len(met) == 1, f"seed {seed}: the point was not met {nth} times"
    assert met[0], "it had nothing in hand"
    assert platform.world.struck[f"{Kind.CRASH} {point}"] == 1
    found = violations(platform)
    assert not found, "\n".join([f"seed {seed}, {point}:", *found])


@pytest.mark.parametrize("point", SLICE, ids=str)
def test_who_dies_at_a_point_loses_and_doubles_nothing(point: Point) -> None:
    holds_dying(point, 3)


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3, 24))
def test_who_dies_at_any_point_loses_and_doubles_nothing(seed: int) -> None:
    for point in POINTS:
        holds_dying(point, seed)
