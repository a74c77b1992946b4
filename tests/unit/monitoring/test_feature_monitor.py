from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from services.monitoring import feature_monitor
from services.monitoring.feature_monitor import FeatureAlarm, FeatureMonitorState
from services.monitoring.feature_reference import FeatureReference, read_reference
from services.monitoring.feature_statistics import BLOCK_TIMES, Statistics, statistics_of
from services.monitoring.pit_curve import pit_curve

ROWS = 5_000
FEATURES = [f"x{i}" for i in range(6)]
Row = dict[str, Any]


def knots(values: list[float]) -> list[float]:
    return np.quantile(values, np.linspace(0.0, 1.0, 257)).tolist()


def reference(rows: int | None = ROWS, **times: float) -> FeatureReference:
    rng = random.Random(0)
    numbers: dict[str, Any] = {
        name: {"quantiles": knots([rng.gauss(0, 1) for _ in range(ROWS)]), "missing": 0.1} for name in FEATURES
    }
    numbers["constant"] = {"quantiles": [3.0] * 257, "missing": 0.0}
    numbers["zeros"] = {"quantiles": knots([max(0.0, rng.gauss(0, 1)) for _ in range(ROWS)]), "missing": 0.0}
    numbers["stars"] = {"quantiles": knots([float(rng.choice([1, 4, 5, 5])) for _ in range(ROWS)]), "missing": 0.0}
    categories = {"category": {"frequencies": {"food": 0.7, "travel": 0.25}, "other": 0.05, "missing": 0.0}}
    for name, time in times.items():
        numbers[name]["time"] = time
    return read_reference({"rows": rows, "numbers": numbers, "categories": categories})


def known(run_length: float = 1e4, **times: float) -> Statistics:
    found = statistics_of(reference(ROWS, **times), run_length)
    assert found is not None
    return found


STATISTICS = known()


def row(rng: random.Random, **changed: Any) -> Row:
    values: Row = {name: None if rng.random() < 0.1 else rng.gauss(0, 1) for name in FEATURES}
    values |= {"constant": 3.0, "zeros": max(0.0, rng.gauss(0, 1)), "stars": float(rng.choice([1, 4, 5, 5]))}
    draw = rng.random()
    values["category"] = "food" if draw < 0.7 else "travel" if draw < 0.95 else "toys"
    return values | changed


def rows(seed: int, count: int, change: Callable[[random.Random], Row] | None = None) -> list[Row]:
    rng = random.Random(seed)
    return [row(rng, **(change(rng) if change else {})) for _ in range(count)]


def test_what_one_record_adds_is_shared_out_wholly_and_by_feature() -> None:
    assert sum(group.weights.sum() * 4 / group.block for group in STATISTICS.groups) == pytest.approx(1.0)
    [group] = STATISTICS.groups
    of_feature = dict.fromkeys((s.feature for s in STATISTICS.statistics), 0.0)
    for column, weight in zip(group.columns, group.weights, strict=True):
        of_feature[STATISTICS.statistics[column].feature] += 4 * weight
    assert list(of_feature.values()) == pytest.approx([1 / 10] * 10)


def test_no_factor_turns_negative() -> None:
    for group in known(x0=10.0).groups:
        assert (1.0 - group.bets * group.null_means > 0.0).all()


def test_no_more_alarms_than_the_run_length_allows() -> None:
    state = feature_monitor.start(STATISTICS, 1e4)
    state, alarms = feature_monitor.update_many(state, STATISTICS, rows(1, 40_000))
    assert len(alarms) <= 4 + 3 * 2
    assert state.position == 39_999


CHANGES: list[tuple[str, Callable[[random.Random], Row], str]] = [
    ("x3", lambda rng: {"x3": rng.gauss(0.8, 1)}, "higher"),
    ("x4", lambda rng: {"x4": rng.gauss(-0.8, 1)}, "lower"),
    ("x5", lambda rng: {"x5": rng.gauss(0, 3)}, "wider"),
    ("x0", lambda rng: {"x0": rng.gauss(0, 0.3)}, "narrower"),
    ("x1", lambda rng: {"x1": None if rng.random() < 0.5 else rng.gauss(0, 1)}, "missing"),
    ("x1", lambda rng: {"x1": math.inf if rng.random() < 0.5 else rng.gauss(0, 1)}, "missing"),
    ("constant", lambda rng: {"constant": 3.5}, "wider"),
    ("zeros", lambda rng: {"zeros": 0.0}, "lower"),
    ("stars", lambda rng: {"stars": 1.0}, "lower"),
    ("category", lambda rng: {"category": "travel"}, "more 'travel'"),
    ("category", lambda rng: {"category": rng.choices(["food", "travel", "toys"], [10, 74, 16])[0]}, "fewer 'food'"),
    ("category", lambda rng: {"category": "garden"}, "other"),
    ("category", lambda rng: {"category": None}, "missing"),
]


@pytest.mark.parametrize(("feature", "change", "statistic"), CHANGES)
def test_what_has_moved_is_found_and_named(
    feature: str, change: Callable[[random.Random], Row], statistic: str
) -> None:
    state, early = feature_monitor.update_many(feature_monitor.start(STATISTICS, 1e4), STATISTICS, rows(2, 500))
    assert not early
    state, alarms = feature_monitor.update_many(state, STATISTICS, rows(3, 400, change))
    first = alarms[0].features[0]
    assert (first.feature, first.statistic) == (feature, statistic)
    assert first.share > 0.9


def test_in_batches_of_any_size_the_result_is_the_same_bit_for_bit() -> None:
    statistics = known(x0=3.0, x1=7.0)
    assert [group.block for group in statistics.groups] == [1, 16, 37]
    data = rows(4, 600, lambda rng: {"x2": rng.gauss(0.7, 1), "x1": rng.gauss(0.7, 1)})
    whole, alarms = feature_monitor.update_many(feature_monitor.start(statistics, 1e4), statistics, data)
    rng, state, found, first = random.Random(5), feature_monitor.start(statistics, 1e4), list[FeatureAlarm](), 0
    while first < len(data):
        count = rng.randint(1, 60)
        state = FeatureMonitorState.from_json(json.loads(json.dumps(state.to_json())))
        state, raised = feature_monitor.update_many(state, statistics, data[first : first + count])
        found, first = found + raised, first + count
    assert found == alarms
    assert found
    assert json.dumps(state.to_json()) == json.dumps(whole.to_json())


def test_inputs_that_hang_together_for_about_as_long_share_their_blocks() -> None:
    statistics = known(x0=12.9, x1=13.4, x2=14.2)
    assert [group.block for group in statistics.groups] == [1, 74]
    assert all(group.block >= BLOCK_TIMES * 14.2 for group in statistics.groups[1:])


def test_an_alarm_can_be_recomputed_from_its_evidence() -> None:
    data = rows(6, 1000, lambda rng: {"x2": rng.gauss(0.7, 1)})
    _, [first, second, *_] = feature_monitor.update_many(feature_monitor.start(STATISTICS, 1e4), STATISTICS, data)
    assert second.first_position == first.position + 1
    again = feature_monitor.start(STATISTICS, second.threshold, second.first_position)
    span = data[second.first_position : second.position + 1]
    _, [repeated] = feature_monitor.update_many(again, STATISTICS, span)
    assert repeated == second


def test_a_reference_of_few_rows_or_of_unknown_many_monitors_nothing() -> None:
    assert statistics_of(reference(20), 1e4) is None
    assert statistics_of(reference(None), 1e4) is None


def test_an_input_that_hangs_together_too_much_is_left_out_and_said() -> None:
    statistics = known(x0=100.0)
    assert list(statistics.unmonitored) == ["x0"]
    moved = rows(7, 1500, lambda rng: {"x0": rng.gauss(2, 1)})
    _, alarms = feature_monitor.update_many(feature_monitor.start(statistics, 1e4), statistics, moved)
    assert not alarms


def test_a_state_of_few_bytes_an_input() -> None:
    state, _ = feature_monitor.update_many(feature_monitor.start(STATISTICS, 1e4), STATISTICS, rows(8, 100))
    assert len(json.dumps(state.to_json())) < 700 * 10


@pytest.mark.parametrize("name", ["x0", "zeros", "stars", "constant"])
def test_the_curve_is_the_transform_of_the_reference_and_knows_its_own_mean(name: str) -> None:
    number, rng = reference().numbers[name], random.Random(9)
    curve = pit_curve(number.knots)
    drawn = [row(rng)[name] for _ in range(20_000)]
    u = curve.of(np.array([value for value in drawn if value is not None]))
    assert u.mean() == pytest.approx(curve.u_mean, abs=0.01)
    assert np.abs(2.0 * u - 1.0).mean() == pytest.approx(curve.spread_mean, abs=0.01)
    assert all(
        abs(curve.of(np.array([value]))[0] - number.pit(value)) < 0.02 for value in drawn[:2000] if value is not None
    )


def test_the_curve_of_values_beyond_all_that_was_seen() -> None:
    curve = pit_curve([0.0, *[1.0] * 3, 2.0])
    values = np.array([-1e308, 0.0, 1.0, 1.0 + 5e-8, 2.0, 1e308, math.nan])
    assert curve.of(values)[:6].tolist() == pytest.approx([0.0, 0.0, 0.5, 0.5, 1.0, 1.0])
    assert math.isnan(curve.of(values)[6])
    assert statistics.fmean(pit_curve([-1e308, 0.0, 1e308]).of(np.array([-1e308, 1e308]))) == 0.5


def test_a_run_length_that_counts_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected_run_length"):
        feature_monitor.start(STATISTICS, math.nan)
