from __future__ import annotations

import math
import random

import pytest

from services.monitoring import canary_judge
from services.monitoring.canary_batch import update_many
from services.monitoring.canary_judge import JudgeState

BROKEN = (None, math.nan, math.inf, -0.5, 1.5)


def pairs(count: int) -> list[tuple[float | None, float | None]]:
    rng = random.Random(4)
    made: list[tuple[float | None, float | None]] = [(rng.random(), rng.random()) for _ in range(count)]
    for at in range(0, count, 7):
        one, other = made[at]
        made[at] = rng.choice(((rng.choice(BROKEN), other), (one, rng.choice(BROKEN)), (None, None), (0.5, 0.5)))
    return made


def figures(state: JudgeState) -> list[float]:
    kept = state.to_json()
    positions = [kept.pop("first_position"), kept.pop("last_position")]
    return [*kept.pop("promote"), *kept.pop("harm"), *kept.values(), *(-1 if at is None else at for at in positions)]


@pytest.mark.parametrize("cut", [0, 1, 7, 150, 300])
def test_many_pairs_at_once_are_judged_as_one_after_the_other(cut: int) -> None:
    made, one_by_one = pairs(300), JudgeState()
    for at, (champion, candidate) in enumerate(made):
        one_by_one = canary_judge.update(one_by_one, champion, candidate, at)
    at_once = JudgeState()
    for first, part in ((0, made[:cut]), (cut, made[cut:])):
        at_once = update_many(at_once, [one for one, _ in part], [other for _, other in part], first)
    assert figures(at_once) == pytest.approx(figures(one_by_one), rel=1e-12)


def test_pairs_without_positions_have_none() -> None:
    state = update_many(JudgeState(), [0.5, 0.25], [0.25, 0.5])
    assert (state.count, state.first_position, state.last_position) == (2, None, None)
