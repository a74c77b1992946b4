"""What a version's inputs looked like on the rows that were held back from its fit, ready for comparison.

Format, as the training run writes it:
{"rows": n, "numbers": {name: {"quantiles": [Q evenly spaced quantiles, Q >= 2], "missing": rate}},
 "categories": {name: {"frequencies": {category: p}, "other": p, "missing": p}},
 "views": {name: {"inputs": [names], "empty": rate}}}
`rows`, of how many rows it tells, and `views` are absent from the artifacts of earlier releases; an input whose values
hang together from row to row has its integrated autocorrelation time as `time` in its entry.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

BINS = 16
# Knots are float32 values in nine digits; a double that was rounded to the same float32 is the same value.
_FLOAT32_RESOLUTION = 2e-7


@dataclass(frozen=True, slots=True)
class NumberReference:
    """Quantile knots with the moments that the PIT of the reference itself has (ties keep it from being uniform).

    u is the mid-distribution PIT in [0, 1]; spread is |2u - 1|; bins are the probabilities of BINS equal intervals.
    """

    knots: tuple[float, ...]
    missing: float
    u_mean: float
    u_deviation: float
    spread_mean: float
    spread_deviation: float
    bins: tuple[float, ...]

    def pit(self, value: float) -> float:
        """(F(x-) + F(x)) / 2 under the reference, between knots by linear interpolation; 0 below all, 1 above all."""
        return _pit(self.knots, value)

    def quantile(self, u: float) -> float:
        """The reference's value at u in [0, 1]."""
        place = u * (len(self.knots) - 1)
        low = min(int(place), len(self.knots) - 2)
        share = place - low
        return self.knots[low] * (1.0 - share) + self.knots[low + 1] * share


@dataclass(frozen=True, slots=True)
class CategoryReference:
    """Probabilities over all rows: of each known category (in order of name), of any other, of a missing value.

    places: the index of each known category in `names`.
    """

    names: tuple[str, ...]
    frequencies: tuple[float, ...]
    other: float
    missing: float
    places: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ViewReference:
    """The inputs that a view gives, and the rate of rows in which all of them are missing or 0: those of an entity that
    the view does not know, or no longer."""

    inputs: tuple[str, ...]
    empty: float


@dataclass(frozen=True, slots=True)
class FeatureReference:
    """All inputs of a version by name; belongs to its artifact, not to the monitor's state.

    times: integrated autocorrelation times, in rows, of those inputs, and of whether a view is empty, that hang
    together.
    """

    numbers: Mapping[str, NumberReference]
    categories: Mapping[str, CategoryReference]
    rows: int | None = None
    times: Mapping[str, float] = field(default_factory=dict[str, float])
    views: Mapping[str, ViewReference] = field(default_factory=dict[str, ViewReference])


def read_reference(data: Mapping[str, Any]) -> FeatureReference:
    """The reference from the artifact's dict. Raises ValueError that names the feature and what was expected."""
    return FeatureReference(
        numbers={name: _number(name, data["numbers"][name]) for name in sorted(data.get("numbers", {}))},
        categories={name: _category(name, data["categories"][name]) for name in sorted(data.get("categories", {}))},
        rows=_rows(data.get("rows")),
        times={
            name: _time(name, entry["time"])
            for kind in ("numbers", "categories", "views")
            for name, entry in sorted(data.get(kind, {}).items())
            if entry.get("time", 1.0) > 1.0
        },
        views={
            name: ViewReference(tuple(entry["inputs"]), _rate(name, "empty", entry["empty"]))
            for name, entry in sorted(data.get("views", {}).items())
        },
    )


def _rows(rows: Any) -> int | None:
    if rows is not None and (not isinstance(rows, int) or rows < 0):
        raise ValueError(f"reference: `rows` is {rows!r}, not a count")
    return rows


def _time(name: str, time: Any) -> float:
    if not math.isfinite(time):
        raise ValueError(f"reference of {name!r}: an autocorrelation time of {time!r} rows")
    return float(time)


def _number(name: str, data: Mapping[str, Any]) -> NumberReference:
    knots = tuple(float(knot) for knot in data["quantiles"])
    ordered = all(low <= high for low, high in pairwise(knots))
    if len(knots) < 2 or not ordered or not all(map(math.isfinite, knots)):
        raise ValueError(f"reference of {name!r}: quantiles must be two or more finite numbers in rising order")
    intervals = len(knots) - 1
    u = [(i + 0.5) / intervals if knots[i] < knots[i + 1] else _pit(knots, knots[i]) for i in range(intervals)]
    bins = [0.0] * BINS
    for value in u:
        bins[bin_of(value)] += 1.0 / intervals
    u_mean, u_deviation = _moments(u)
    spread_mean, spread_deviation = _moments([abs(2.0 * value - 1.0) for value in u])
    missing = _rate(name, "missing", data["missing"])
    return NumberReference(knots, missing, u_mean, u_deviation, spread_mean, spread_deviation, tuple(bins))


def _category(name: str, data: Mapping[str, Any]) -> CategoryReference:
    names = tuple(sorted(data["frequencies"]))
    return CategoryReference(
        names=names,
        frequencies=tuple(_rate(name, category, data["frequencies"][category]) for category in names),
        other=_rate(name, "other", data["other"]),
        missing=_rate(name, "missing", data["missing"]),
        places={category: place for place, category in enumerate(names)},
    )


def bin_of(u: float) -> int:
    """Which of BINS equal intervals holds u in [0, 1]."""
    return min(BINS - 1, int(u * BINS))


def _pit(knots: tuple[float, ...], value: float) -> float:
    near = _FLOAT32_RESOLUTION * abs(value)
    low, high = bisect_left(knots, value - near), bisect_right(knots, value + near)
    intervals = len(knots) - 1
    if high > low:
        return (low + high - 1) / 2.0 / intervals
    if low in (0, len(knots)):
        return 0.0 if low == 0 else 1.0
    # Halved, because the distance of two finite doubles can be infinite.
    below, above = knots[low - 1] / 2.0, knots[low] / 2.0
    return (low - 1 + (value / 2.0 - below) / (above - below)) / intervals if above > below else low / intervals


def _moments(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def _rate(name: str, what: str, value: Any) -> float:
    if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise ValueError(f"reference of {name!r}: the rate of {what!r} is {value!r}, not a number from 0 to 1")
    return float(value)
