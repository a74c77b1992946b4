"""Which models stay: not clearly worse than the best, over blocks of rows that hang together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from services.training.block_error import BLOCK_ROWS, block_error
from services.training.confidence_set import MOST_MEMBERS, NothingFinite, confidence_set

Losses = npt.NDArray[np.float64]


def noise(count: int, seed: int, size: float = 0.1) -> Losses:
    return np.random.default_rng(seed).normal(0.0, size, count)


def test_the_best_comes_first_and_what_is_clearly_worse_is_out() -> None:
    losses = [0.5 + noise(480, 1), 0.3 + noise(480, 2), 0.301 + noise(480, 3)]
    assert confidence_set(losses) == [1, 2]


def test_the_limit_is_two_standard_errors_over_blocks() -> None:
    step = np.repeat([1.0, -1.0] * 4, BLOCK_ROWS) * 0.1
    error = block_error(step)
    assert error is not None
    assert error == (pytest.approx(0.1 * np.sqrt(8 / 7) / np.sqrt(8)), 8)
    best = np.full(len(step), 0.4)
    for worse_by, stays in ((1.95 * error.standard_error, True), (2.05 * error.standard_error, False)):
        assert confidence_set([best, best + step + worse_by]) == ([0, 1] if stays else [0])


def test_rows_that_hang_together_exclude_less_than_their_number_says() -> None:
    step = np.repeat([1.0, -1.0] * 4, BLOCK_ROWS) * 0.1 + 0.04
    best = np.full(len(step), 0.4)
    as_if_independent = step.std(ddof=1) / np.sqrt(len(step))
    assert step.mean() > 2 * as_if_independent
    assert confidence_set([best, best + step]) == [0, 1]


def test_with_fewer_than_four_blocks_the_best_is_alone() -> None:
    losses = [0.300 + noise(95, 1), 0.301 + noise(95, 1)]
    assert confidence_set(losses) == [0]
    assert confidence_set([np.append(each, each[-1]) for each in losses[:1] * 2]) == [0, 1]


def test_equal_losses_all_stay_in_their_order() -> None:
    assert confidence_set([np.full(200, 0.2)] * 3) == [0, 1, 2]


def test_what_is_not_finite_never_gets_in() -> None:
    broken = np.full(200, 0.1)
    broken[7] = np.nan
    endless = np.full(200, 0.1)
    endless[7] = -np.inf
    assert confidence_set([broken, np.full(200, 0.3), endless]) == [1]
    with pytest.raises(NothingFinite, match="none of 2 fitted models answers all of the 200"):
        confidence_set([broken, endless])


def test_of_many_the_best_few_stay() -> None:
    losses = [0.3 + 0.0001 * place + noise(480, place) for place in range(20)]
    means = [float(each.mean()) for each in losses]
    found = confidence_set(losses)
    assert len(found) == MOST_MEMBERS
    assert [means[place] for place in found] == sorted(means)[:MOST_MEMBERS]
