from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from services.monitoring import feature_shift
from services.monitoring.feature_reference import FeatureReference, read_reference
from services.monitoring.feature_shift import FeatureShift, ShiftWindow, ranked, update, update_many

FEATURES = [f"x{i}" for i in range(10)]


def knots(values: list[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered[round(i * (len(ordered) - 1) / 256)] for i in range(257)]


def reference() -> FeatureReference:
    rng = random.Random(0)
    numbers: dict[str, Any] = {
        name: {"quantiles": knots([rng.gauss(0, 1) for _ in range(20_000)]), "missing": 0.1} for name in FEATURES
    }
    numbers["constant"] = {"quantiles": [3.0] * 257, "missing": 0.0}
    numbers["zeros"] = {"quantiles": knots([max(0.0, rng.gauss(0, 1)) for _ in range(20_000)]), "missing": 0.0}
    frequencies = {"food": 0.7, "travel": 0.25}
    categories = {"category": {"frequencies": frequencies, "other": 0.05, "missing": 0.0}}
    return read_reference({"numbers": numbers, "categories": categories})


REFERENCE = reference()


def row(rng: random.Random, **changed: Any) -> dict[str, Any]:
    values: dict[str, Any] = {name: None if rng.random() < 0.1 else rng.gauss(0, 1) for name in FEATURES}
    values |= {"constant": 3.0, "zeros": max(0.0, rng.gauss(0, 1))}
    draw = rng.random()
    values["category"] = "food" if draw < 0.7 else "travel" if draw < 0.95 else "toys"
    return values | changed


def shifts_of(rows: list[dict[str, Any]]) -> tuple[FeatureShift, ...]:
    return ranked(REFERENCE, update_many(ShiftWindow(block_size=len(rows)), REFERENCE, rows))


def test_nothing_stands_out_without_a_shift_ties_and_missing_values_included() -> None:
    rng = random.Random(1)
    shifts = shifts_of([row(rng) for _ in range(1000)])
    assert len(shifts) == 13
    assert shifts[0].score < 4.5


CHANGES: list[tuple[str, Callable[[random.Random], Any], str, str]] = [
    ("x3", lambda rng: rng.gauss(0.5, 1), "location", "higher"),
    ("x4", lambda rng: rng.gauss(-0.5, 1), "location", "lower"),
    ("x5", lambda rng: rng.gauss(0, 3), "spread", "wider"),
    ("x6", lambda rng: rng.gauss(0, 0.3), "spread", "narrower"),
    ("x7", lambda rng: math.nan if rng.random() < 0.5 else rng.gauss(0, 1), "missing", "more missing"),
    ("constant", lambda _: 4.0, "location", "higher"),
    ("zeros", lambda rng: max(0.0, rng.gauss(0.8, 1)), "location", "higher"),
    ("category", lambda rng: "toys" if rng.random() < 0.3 else "food", "other", "more often"),
    ("category", lambda rng: None if rng.random() < 0.5 else "food", "missing", "more often"),
    ("category", lambda _: "travel", "share of 'travel'", "more often"),
]


@pytest.mark.parametrize(("feature", "change", "statistic", "direction"), CHANGES)
def test_the_moved_feature_is_named_first(
    feature: str, change: Callable[[random.Random], Any], statistic: str, direction: str
) -> None:
    rng = random.Random(2)
    first = shifts_of([row(rng, **{feature: change(rng)}) for _ in range(400)])[0]
    assert (first.feature, first.statistic, first.direction) == (feature, statistic, direction)
    assert first.score > 5


def test_another_shape_with_the_same_centre_is_seen() -> None:
    rng = random.Random(3)
    rows = [row(rng, x2=rng.choice((-0.7, 0.7))) for _ in range(400)]
    first = shifts_of(rows)[0]
    assert (first.feature, first.statistic, first.direction) == ("x2", "shape", "another shape")


def test_summaries_speak_the_features_unit() -> None:
    rng = random.Random(4)
    first = shifts_of([row(rng, x1=rng.gauss(1, 1)) for _ in range(2000)])[0]
    assert first.reference["median"] == pytest.approx(0.0, abs=0.05)
    assert first.recent["median"] == pytest.approx(1.0, abs=0.15)
    assert first.recent["missing"] == 0.0


def test_the_window_forgets_old_blocks_and_survives_json() -> None:
    rng = random.Random(5)
    window = update_many(ShiftWindow(block_size=200), REFERENCE, [row(rng, x0=9.0) for _ in range(500)])
    assert ranked(REFERENCE, window)[0].feature == "x0"
    later = [row(rng) for _ in range(500)]
    batch = update_many(window, REFERENCE, later)
    for record in later:
        window = update(window, REFERENCE, record)
    assert window == batch
    assert (batch.previous.rows, batch.current.rows) == (200, 200)
    assert ranked(REFERENCE, batch)[0].score < 4.5
    text = json.dumps(batch.to_json())
    assert ShiftWindow.from_json(json.loads(text)) == batch


def test_strange_values_count_as_missing_and_huge_ones_as_largest() -> None:
    rows = [{"x0": value} for value in (None, "7", math.inf, math.nan, 10**400)]
    window = update_many(ShiftWindow(), REFERENCE, rows)
    assert window.current.numbers["x0"].missing == 5
    window = update(window, REFERENCE, {"x0": 1e308})
    assert window.current.numbers["x0"].bins[-1] == 1
    assert window.current.categories["category"].missing == 6


def test_the_pit_is_monotone_and_centred_on_ties() -> None:
    zeros, constant = REFERENCE.numbers["zeros"], REFERENCE.numbers["constant"]
    assert zeros.pit(0.0) == pytest.approx(0.25, abs=0.01)
    assert (constant.pit(2.9), constant.pit(3.0), constant.pit(3.1)) == (0.0, 0.5, 1.0)
    tenths = read_reference({"numbers": {"x": {"quantiles": [0.100000001] * 3 + [0.2] * 2, "missing": 0.0}}})
    assert tenths.numbers["x"].pit(0.1) == tenths.numbers["x"].pit(0.100000001) == 0.25
    values = [zeros.pit(x / 50) for x in range(-50, 300)]
    assert values == sorted(values)


def test_booleans_and_numbers_are_categories_by_their_text() -> None:
    assert [feature_shift.category_key(value) for value in (True, 3, "a")] == ["true", "3", "a"]


def test_an_empty_window_ranks_nothing() -> None:
    assert ranked(REFERENCE, ShiftWindow()) == ()


@pytest.mark.parametrize(
    "bad",
    [
        {"numbers": {"x": {"quantiles": [1.0], "missing": 0.0}}},
        {"numbers": {"x": {"quantiles": [2.0, 1.0], "missing": 0.0}}},
        {"numbers": {"x": {"quantiles": [0.0, math.inf], "missing": 0.0}}},
        {"categories": {"x": {"frequencies": {"a": 1.2}, "other": 0.0, "missing": 0.0}}},
    ],
)
def test_a_reference_that_cannot_be_one_names_the_feature(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'x'"):
        read_reference(bad)
