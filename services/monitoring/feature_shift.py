"""Which inputs have moved: the ranked explanation of an alarm, from a small sketch of the recent records.

Every statistic is a standard score: the recent value's distance from the reference's, in standard errors of n
independent records. Of a number, on its probability integral transform u under the reference: `location` (mean of u),
`spread` (mean of |2u - 1|), `missing` (rate), and, only where the first two stay below 4, `shape` (chi-square of the
histogram of u as a standard score by Wilson and Hilferty 1931, at least 0). Of a category: the share of each known
category, of `other` (unseen ones), of `missing`. A feature's score is the largest of the absolute values, and the list
is ranked by it.

No guarantee, and no alarm by itself: autocorrelated records raise all scores, and a large window makes small shifts
score high. The order among features of the same records is what it says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from services.monitoring.feature_reference import (
    BINS,
    CategoryReference,
    FeatureReference,
    NumberReference,
    bin_of,
)
from services.monitoring.json_state import JsonState

Row = Mapping[str, Any]
# So that a rate of 0 in the reference, or a constant feature, does not make one record infinitely surprising.
_LEAST_RATE = 0.001
_LEAST_DEVIATION = 0.01
_LEAST_SPREAD_DEVIATION = 0.025
_LEAST_EXPECTED = 0.5
# A histogram says little to a person where the centre or the spread already tells the story.
_PLAIN_SCORE = 4.0


@dataclass(frozen=True, slots=True)
class FeatureShift(JsonState):
    """One feature: its strongest statistic, signed as `direction` says; score = |standard score|, larger is further.

    reference, recent: quartiles and missing rate of a number; the share of the category concerned, other and missing
    of a category. Recent quartiles are read off the histogram of u, so they are as coarse as its bins.
    """

    feature: str
    statistic: str
    score: float
    direction: str
    reference: Mapping[str, float]
    recent: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class NumberCounts(JsonState):
    """Sums over the present values of a number; `bins` is the histogram of u."""

    missing: int = 0
    u_total: float = 0.0
    spread_total: float = 0.0
    bins: tuple[int, ...] = (0,) * BINS


@dataclass(frozen=True, slots=True)
class CategoryCounts(JsonState):
    """Counts in the order of the reference's names."""

    counts: tuple[int, ...]
    other: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Block(JsonState):
    """The sketch of `rows` consecutive records."""

    rows: int = 0
    numbers: Mapping[str, NumberCounts] = field(default_factory=dict[str, NumberCounts])
    categories: Mapping[str, CategoryCounts] = field(default_factory=dict[str, CategoryCounts])

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The state that `to_json` wrote."""
        return cls(
            rows=data["rows"],
            numbers={name: NumberCounts.from_json(counts) for name, counts in data["numbers"].items()},
            categories={name: CategoryCounts.from_json(counts) for name, counts in data["categories"].items()},
        )


@dataclass(frozen=True, slots=True)
class ShiftWindow(JsonState):
    """The newest records of a version: the block that fills and the full one before it, `block_size` records each."""

    block_size: int = 500
    current: Block = field(default_factory=Block)
    previous: Block = field(default_factory=Block)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The state that `to_json` wrote."""
        return cls(data["block_size"], Block.from_json(data["current"]), Block.from_json(data["previous"]))


def update(window: ShiftWindow, reference: FeatureReference, row: Row) -> ShiftWindow:
    """One more record. A number that is absent, not a number or not finite counts as missing, as does a category that
    is None or empty; `row` may hold other fields."""
    return update_many(window, reference, (row,))


def update_many(window: ShiftWindow, reference: FeatureReference, rows: Iterable[Row]) -> ShiftWindow:
    """`update` for each row, with the same result."""
    block_size, previous = window.block_size, window.previous
    open_block = _OpenBlock(reference, window.current)
    for row in rows:
        if open_block.rows >= block_size:
            previous, open_block = open_block.close(), _OpenBlock(reference, Block())
        open_block.take(row)
    return ShiftWindow(block_size, open_block.close(), previous)


def ranked(reference: FeatureReference, window: ShiftWindow) -> tuple[FeatureShift, ...]:
    """All features, the most shifted first (ties by name); empty when the window holds no record."""
    recent = _OpenBlock(reference, window.previous)
    recent.add(window.current)
    block = recent.close()
    if not block.rows:
        return ()
    shifts = [_number_shift(name, known, block) for name, known in reference.numbers.items()]
    shifts += [_category_shift(name, known, block) for name, known in reference.categories.items()]
    return tuple(sorted(shifts, key=lambda shift: (-shift.score, shift.feature)))


def category_key(value: Any) -> str:
    """The text by which a category is counted: strings as they are, true/false, otherwise Python's str."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _OpenBlock:
    """A block opened for writing, so that a batch costs one copy of it."""

    def __init__(self, reference: FeatureReference, block: Block) -> None:
        self.reference = reference
        self.rows = 0
        self.numbers: dict[str, list[float]] = {name: [0, 0.0, 0.0] + [0] * BINS for name in reference.numbers}
        self.categories = {name: [0] * (len(known.names) + 2) for name, known in reference.categories.items()}
        self.add(block)

    def add(self, block: Block) -> None:
        self.rows += block.rows
        for name, counts in block.numbers.items():
            sums = self.numbers[name]
            for i, value in enumerate((counts.missing, counts.u_total, counts.spread_total, *counts.bins)):
                sums[i] += value
        for name, counts in block.categories.items():
            totals = self.categories[name]
            for i, value in enumerate((*counts.counts, counts.other, counts.missing)):
                totals[i] += value

    def take(self, row: Row) -> None:
        self.rows += 1
        for name, known in self.reference.numbers.items():
            value, sums = finite(row.get(name)), self.numbers[name]
            if value is None:
                sums[0] += 1
                continue
            u = known.pit(value)
            sums[1] += u
            sums[2] += abs(2.0 * u - 1.0)
            sums[3 + bin_of(u)] += 1
        for name, known in self.reference.categories.items():
            value, places = row.get(name), known.places
            place = len(places) + 1 if value is None or value == "" else places.get(category_key(value), len(places))
            self.categories[name][place] += 1

    def close(self) -> Block:
        numbers = {
            name: NumberCounts(int(sums[0]), sums[1], sums[2], tuple(int(count) for count in sums[3:]))
            for name, sums in self.numbers.items()
        }
        categories = {name: CategoryCounts(tuple(t[:-2]), t[-2], t[-1]) for name, t in self.categories.items()}
        return Block(self.rows, numbers, categories)


def finite(value: Any) -> float | None:
    """The value as a double; None for one that is no number, or not finite."""
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:  # an integer beyond the largest double
        return None
    return number if math.isfinite(number) else None


def _number_shift(name: str, known: NumberReference, block: Block) -> FeatureShift:
    counts = block.numbers[name]
    present = block.rows - counts.missing
    scores = {"missing": _rate_score(counts.missing, block.rows, known.missing)}
    if present:
        root = math.sqrt(present)
        u_mean, spread_mean = counts.u_total / present, counts.spread_total / present
        scores["location"] = (u_mean - known.u_mean) * root / max(known.u_deviation, _LEAST_DEVIATION)
        deviation = max(known.spread_deviation, _LEAST_SPREAD_DEVIATION)
        scores["spread"] = (spread_mean - known.spread_mean) * root / deviation
        if max(abs(scores["location"]), abs(scores["spread"])) < _PLAIN_SCORE:
            scores["shape"] = _shape_score(counts.bins, present, known.bins)
    statistic = max(scores, key=lambda key: abs(scores[key]))
    quartiles = {"lower_quartile": 0.25, "median": 0.5, "upper_quartile": 0.75}
    return FeatureShift(
        feature=name,
        statistic=statistic,
        score=abs(scores[statistic]),
        direction=_number_direction(statistic, scores[statistic]),
        reference={**{what: known.quantile(u) for what, u in quartiles.items()}, "missing": known.missing},
        recent={
            **{what: known.quantile(_histogram_quantile(counts.bins, u)) for what, u in quartiles.items() if present},
            "missing": counts.missing / block.rows,
        },
    )


def _number_direction(statistic: str, score: float) -> str:
    rising = {"location": "higher", "spread": "wider", "missing": "more missing", "shape": "another shape"}
    falling = {"location": "lower", "spread": "narrower", "missing": "fewer missing"}
    return falling.get(statistic, "unchanged") if score <= 0 else rising[statistic]


def _category_shift(name: str, known: CategoryReference, block: Block) -> FeatureShift:
    counts = block.categories[name]
    observed = {
        **{f"share of {category!r}": count for category, count in zip(known.names, counts.counts, strict=True)},
        "other": counts.other,
        "missing": counts.missing,
    }
    rates = (*known.frequencies, known.other, known.missing)
    expected = dict(zip(observed, rates, strict=True))
    scores = {what: _rate_score(count, block.rows, expected[what]) for what, count in observed.items()}
    statistic = max(scores, key=lambda key: abs(scores[key]))
    shown = dict.fromkeys((statistic, "other", "missing"))
    return FeatureShift(
        feature=name,
        statistic=statistic,
        score=abs(scores[statistic]),
        direction="more often" if scores[statistic] > 0 else "less often",
        reference={what: expected[what] for what in shown},
        recent={what: observed[what] / block.rows for what in shown},
    )


def _rate_score(count: int, rows: int, expected: float) -> float:
    clipped = min(1.0 - _LEAST_RATE, max(_LEAST_RATE, expected))
    return (count / rows - expected) / math.sqrt(clipped * (1.0 - clipped) / rows)


def _shape_score(bins: tuple[int, ...], present: int, expected: tuple[float, ...]) -> float:
    chi2 = sum(
        (count - present * share) ** 2 / max(present * share, _LEAST_EXPECTED)
        for count, share in zip(bins, expected, strict=True)
    )
    freedom = max(1, sum(share > 0.0 for share in expected) - 1)
    variance = 2.0 / (9.0 * freedom)
    return max(0.0, ((chi2 / freedom) ** (1.0 / 3.0) - (1.0 - variance)) / math.sqrt(variance))


def _histogram_quantile(bins: tuple[int, ...], share: float) -> float:
    wanted, seen = share * sum(bins), 0
    for i, count in enumerate(bins):
        if count and seen + count >= wanted:
            return (i + (wanted - seen) / count) / BINS
        seen += count
    return 1.0
