from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from services.monitoring.confidence_sequence import BETS, bounds

LEVEL = 0.05
RUNS, LONGEST = 300, 1_000


def rare(rng: random.Random) -> float:
    """A loss of one version alone, in 6 % of the pairs."""
    draw = rng.random()
    return -1.0 if draw < 0.04 else 1.0 if draw < 0.06 else 0.0


def skewed(rng: random.Random) -> float:
    """Mostly a little better, rarely much worse; the mean is 0."""
    return 0.98 if rng.random() < 0.02 else -0.02


def even(rng: random.Random) -> float:
    return rng.uniform(-1.0, 1.0)


def far_away(rng: random.Random) -> float:
    return 0.9 if rng.random() < 0.9 else 1.0


DISTRIBUTIONS: dict[Callable[[random.Random], float], float] = {rare: -0.02, skewed: 0.0, even: 0.0, far_away: 0.91}


def missed(draw: Callable[[random.Random], float], mean: float, seed: int) -> bool:
    """Whether the sequence was ever wrong, looked at after every fifth pair."""
    rng, total, squares = random.Random(seed), 0.0, 0.0
    for count in range(1, LONGEST + 1):
        value = draw(rng)
        total, squares = total + value, squares + value * value
        # No boundary lies nearer than ln(2 / alpha) over the largest bet: such a look cannot be wrong.
        if count % 5 or abs(total - count * mean) < math.log(2.0 / LEVEL) / BETS[0]:
            continue
        lower, upper = bounds(count, total, squares, LEVEL)
        if not lower <= mean <= upper:
            return True
    return False


@pytest.mark.parametrize(("draw", "mean"), DISTRIBUTIONS.items())
def test_the_mean_is_within_at_all_times_together(draw: Callable[[random.Random], float], mean: float) -> None:
    wrong = sum(missed(draw, mean, seed) for seed in range(RUNS))
    assert wrong / RUNS <= LEVEL + 3.0 * math.sqrt(LEVEL * (1.0 - LEVEL) / RUNS)


def test_a_mean_that_moves_is_within_as_the_mean_of_what_it_was() -> None:
    wrong = 0
    for seed in range(RUNS):
        rng, total, squares, truth, beyond = random.Random(seed), 0.0, 0.0, 0.0, False
        for count in range(1, LONGEST + 1):
            chance = 0.5 + 0.4 * math.sin(count / 100.0)
            value = 1.0 if rng.random() < chance else -1.0
            total, squares, truth = total + value, squares + 1.0, truth + 2.0 * chance - 1.0
            if count % 10 == 0:
                lower, upper = bounds(count, total, squares, LEVEL)
                beyond = beyond or not lower <= truth / count <= upper
        wrong += beyond
    assert wrong / RUNS <= LEVEL + 3.0 * math.sqrt(LEVEL * (1.0 - LEVEL) / RUNS)


def test_it_is_at_most_twice_as_wide_as_an_interval_for_one_look() -> None:
    for count, squares in ((1_750, 105.0), (10_000, 600.0), (100_000, 30_000.0)):
        lower, upper = bounds(count, 0.0, squares, 0.01)
        of_one_look = 2.0 * 2.576 * math.sqrt(squares) / count
        assert of_one_look < upper - lower <= 2.0 * of_one_look


def test_the_boundary_solves_its_equation() -> None:
    for squares in (0.0, 1e-9, 3.0, 400.0, 1e6):
        _, upper = bounds(10**9, 0.0, squares, 0.01)
        reach = upper * 10**9
        logs = [bet * reach + (math.log1p(-bet) + bet) * squares for bet in BETS]
        assert math.fsum(map(math.exp, logs)) / len(BETS) == pytest.approx(200.0, rel=1e-6)


def test_without_a_pair_nothing_is_known_and_no_bound_lies_beyond_a_difference() -> None:
    assert bounds(0, 0.0, 0.0, 0.01) == (-1.0, 1.0)
    assert bounds(3, 3.0, 3.0, 0.01) == (-1.0, 1.0)


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_a_level_without_meaning_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        bounds(10, 0.0, 1.0, alpha)
