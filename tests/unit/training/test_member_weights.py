"""How much models count: the best most, one that may be as good nearly as much, what is clearly worse not at all."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from services.training.block_error import BLOCK_ROWS, block_error
from services.training.member_weights import LEAST_SHARE, MOST_MEMBERS, NothingFinite, member_weights

Losses = npt.NDArray[np.float64]


def noise(count: int, seed: int, size: float = 0.1) -> Losses:
    return np.random.default_rng(seed).normal(0.0, size, count)


def test_the_best_comes_first_and_what_is_clearly_worse_is_out() -> None:
    losses = [0.5 + noise(480, 1), 0.3 + noise(480, 2), 0.301 + noise(480, 3)]
    found = member_weights(losses)
    assert list(found) == [1, 2]
    assert found[1] > found[2] > 0.4
    assert sum(found.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("errors", [0.0, 1.0, 2.0, 3.0, 4.8])
def test_weights_fall_off_with_the_distance_in_standard_errors_over_blocks(errors: float) -> None:
    step = np.repeat([1.0, -1.0] * 4, BLOCK_ROWS) * 0.1
    error = block_error(step)
    assert error is not None
    assert error == (pytest.approx(0.1 * np.sqrt(8 / 7) / np.sqrt(8)), 8)
    best = np.full(len(step), 0.4)
    found = member_weights([best, best + step + errors * error.standard_error])
    assert found[1] / found[0] == pytest.approx(math.exp(-(errors**2) / 8))


def test_what_counts_too_little_is_left_out() -> None:
    step = np.repeat([1.0, -1.0] * 4, BLOCK_ROWS) * 0.1
    error = block_error(step)
    assert error is not None
    far = 2.0 * math.sqrt(-2.0 * math.log(LEAST_SHARE))
    best = np.full(len(step), 0.4)
    for errors, stays in ((0.99 * far, [0, 1]), (1.01 * far, [0])):
        assert list(member_weights([best, best + step + errors * error.standard_error])) == stays


def test_with_fewer_than_four_blocks_the_best_is_alone() -> None:
    losses = [0.300 + noise(95, 1), 0.301 + noise(95, 1)]
    assert member_weights(losses) == {0: 1.0}
    assert member_weights([np.append(each, each[-1]) for each in losses[:1] * 2]) == {0: 0.5, 1: 0.5}


def test_of_too_many_those_that_count_least_are_left_out() -> None:
    """Not those of the highest loss: a difference that varies much tells less."""
    step, best = np.repeat([1.0, -1.0] * 4, BLOCK_ROWS), np.full(8 * BLOCK_ROWS, 0.4)
    sure = [best + 0.001 * step + 0.001 + 0.00001 * number for number in range(MOST_MEMBERS)]
    unsure = best + 0.1 * step + 0.01
    found = member_weights([best, *sure, unsure])
    assert len(found) == MOST_MEMBERS
    assert list(found)[:2] == [0, MOST_MEMBERS + 1]
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_equal_losses_count_alike_in_their_order() -> None:
    assert list(member_weights([np.full(200, 0.2)] * 4).items()) == [(0, 0.25), (1, 0.25), (2, 0.25), (3, 0.25)]
    assert member_weights([np.full(200, 0.3), np.full(200, 0.2)]) == {1: 1.0}


def test_what_is_not_finite_never_gets_in() -> None:
    broken = np.full(200, 0.1)
    broken[7] = np.nan
    endless = np.full(200, 0.1)
    endless[7] = -np.inf
    assert member_weights([broken, np.full(200, 0.3), endless]) == {1: 1.0}
    with pytest.raises(NothingFinite, match="none of 2 fitted models answers all of the 200"):
        member_weights([broken, endless])
