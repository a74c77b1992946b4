from __future__ import annotations

import json
import math
import random
import statistics

import pytest

from shared.contracts import autocorrelation


def autoregressive(rng: random.Random, count: int, rho: float) -> list[float]:
    z, values = rng.gauss(0, 1), list[float]()
    for _ in range(count):
        z = rho * z + math.sqrt(1.0 - rho * rho) * rng.gauss(0, 1)
        values.append(z)
    return values


@pytest.mark.parametrize("rho", [0.5, 0.8, 0.9])
def test_the_time_of_an_autoregressive_series_is_that_of_its_formula(rho: float) -> None:
    rng = random.Random(1)
    found = [
        autocorrelation.autocorrelation_time(autocorrelation.of_values(autoregressive(rng, 5000, rho)))
        for _ in range(20)
    ]
    assert statistics.median(found) == pytest.approx((1 + rho) / (1 - rho), rel=0.2)


@pytest.mark.parametrize("count", [100, 500, 5000])
def test_independent_values_are_told_as_such(count: int) -> None:
    rng = random.Random(2)
    times = [
        autocorrelation.autocorrelation_time(autocorrelation.of_values([rng.random() for _ in range(count)]))
        for _ in range(100)
    ]
    assert sum(time > 1.0 for time in times) <= 3


def test_mean_and_variances_are_those_of_the_blocks() -> None:
    values = [random.Random(3).random() for _ in range(1)] + [0.25, 0.5, 1.0, 0.0, 0.75, 0.125]
    levels = autocorrelation.of_values(values)
    assert autocorrelation.count(levels) == 7
    assert autocorrelation.mean(levels) == pytest.approx(statistics.mean(values))
    assert autocorrelation.variance(levels[0]) == pytest.approx(statistics.variance(values))
    pairs = [(values[i] + values[i + 1]) / 2 for i in (0, 2, 4)]
    assert autocorrelation.variance(levels[1]) == pytest.approx(statistics.variance(pairs))


def test_constant_values_and_few_of_them_have_no_time() -> None:
    assert autocorrelation.autocorrelation_time(()) == 1.0
    assert autocorrelation.autocorrelation_time(autocorrelation.of_values([0.3] * 1000)) == 1.0
    assert autocorrelation.autocorrelation_time(autocorrelation.of_values([0.0, 1.0] * 10)) == 1.0


@pytest.mark.parametrize("count", [0, 1, 2, 7, 1000, 5000])
def test_value_by_value_the_levels_are_the_same(count: int) -> None:
    rng, levels = random.Random(5), autocorrelation.of_values(())
    values = [rng.random() for _ in range(count)]
    for value in values:
        levels = autocorrelation.with_value(levels, value)
    assert levels == autocorrelation.of_values(values)


def test_levels_survive_json() -> None:
    levels = autocorrelation.of_values([random.Random(4).random() for _ in range(1)] * 3)
    again = tuple((*level[:3], level[3]) for level in json.loads(json.dumps(levels)))
    assert again == levels


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    rng, covered = random.Random(4), 0
    for _ in range(100):
        _, low, high = autocorrelation.mean_interval(autoregressive(rng, 1000, 0.7))
        covered += low <= 0.0 <= high
    assert covered / 100 > 0.88


def test_equal_values_have_an_interval_without_width() -> None:
    assert autocorrelation.mean_interval([0.25] * 50) == (0.25, 0.25, 0.25)
