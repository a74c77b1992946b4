"""What the feature monitor bets on: bounded statistics of every input, and how large each may be on average.

Of a number, on its probability integral transform u under the reference: u and 1 - u (location), |2u - 1| and
1 - |2u - 1| (spread), and whether it is missing. Of a category: for each one known to the reference whether it is this
one, and whether it is not; whether it is one that the reference does not know; whether it is missing. Of a view:
whether all of the inputs that it gives are missing or 0, as those of an entity that it does not know, or no longer.
All lie in [0, 1], and rise on average when the input moves one way or the other.

A statistic's mean on the reference's rows bounds its mean in service as `reference_loss` says for losses: mean +
z sqrt(v / n') + (1 + z^2) / n', with z so large that all statistics together, for what the reference's errors bring,
keep half of the run length's allowance.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from services.monitoring.feature_reference import CategoryReference, FeatureReference
from services.monitoring.feature_shift import category_key, finite
from services.monitoring.pit_curve import PitCurve, Values, pit_curve
from services.monitoring.reference_loss import BLOCK_TIMES, LEAST_INDEPENDENT, margin

Row = Mapping[str, Any]
_OF_A_NUMBER = ("higher", "lower", "wider", "narrower", "missing")
NEW_ENTITIES = "new entities"
BETS = 4
_SMALLEST_RISE = 0.05
_LARGEST_FRACTION = 0.8
_LARGEST_FRACTION_OF_BLOCKS = 0.95


@dataclass(frozen=True, slots=True)
class Statistic:
    """One column: of which feature, what of it (`higher`, `lower`, `wider`, `narrower`, `missing`, `not missing`,
    `other`, `more 'x'`, `fewer 'x'`; of a view `new entities`), its mean and variance on the reference's rows."""

    feature: str
    what: str
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class Group:
    """Statistics that are taken in blocks of the same length.

    columns: their places among all statistics [C]. null_means [C], bets [BETS, C]. weights [C]: what one block adds to
    the process of each bet; what one record adds to all of them, over all groups, is 1.
    """

    block: int
    columns: npt.NDArray[np.int64]
    null_means: Values
    bets: Values
    weights: Values


@dataclass(frozen=True, slots=True)
class Statistics:
    """All that one reference determines. unmonitored: features that are not monitored, and why: those that hang
    together too strongly for its few rows."""

    reference: FeatureReference
    curves: Mapping[str, PitCurve]
    statistics: tuple[Statistic, ...]
    groups: tuple[Group, ...]
    unmonitored: Mapping[str, str]

    def values(self, rows: Sequence[Row]) -> Values:
        """[rows, statistics]; NaN where a statistic says nothing of a row, as the location of a missing number."""
        values = np.empty((len(rows), len(self.statistics)))
        if self.curves:
            _put_numbers(values, self.curves, rows)
        column = len(_OF_A_NUMBER) * len(self.curves)
        for name, known in self.reference.categories.items():
            column = _put_category(values, column, name, known, rows)
        for view in self.reference.views.values():
            values[:, column] = [_is_empty(view.inputs, row) for row in rows]
            column += 1
        return values


def statistics_of(reference: FeatureReference, expected_run_length: float) -> Statistics | None:
    """None: the reference's rows are too few, or unknown, to bound anything."""
    rows = reference.rows
    if rows is None or rows < LEAST_INDEPENDENT:
        return None
    curves = {name: pit_curve(number.knots) for name, number in reference.numbers.items()}
    known = tuple(_statistics(reference, curves))
    blocks = [_block(reference.times.get(statistic.feature, 1.0), rows) for statistic in known]
    features = dict.fromkeys(s.feature for s, block in zip(known, blocks, strict=True) if block is not None)
    unmonitored = {
        s.feature: f"hangs together over {reference.times[s.feature]:.0f} rows, too many for a reference of {rows}"
        for s in known
        if s.feature not in features
    }
    groups: list[Group] = []
    for block in sorted({block for block in blocks if block is not None}):
        columns = [i for i, of in enumerate(blocks) if of == block]
        groups.append(_group(block, columns, known, reference, len(features), expected_run_length))
    return Statistics(reference, curves, known, tuple(groups), unmonitored)


def _lengths(longest: int) -> Iterator[int]:
    """Of blocks, each about a fifth longer than the one before, so that inputs that hang together share few groups."""
    length = 1
    while length <= longest:
        yield length
        length = max(length + 1, length * 6 // 5)


_LENGTHS = tuple(_lengths(1_000_000))


def _block(time: float, rows: int) -> int | None:
    if time == 1.0:
        return 1
    needed = math.ceil(BLOCK_TIMES * time)
    return _LENGTHS[bisect_left(_LENGTHS, needed)] if rows / needed >= LEAST_INDEPENDENT else None


def _group(
    block: int, columns: list[int], known: Sequence[Statistic], reference: FeatureReference, features: int,
    expected_run_length: float,
) -> Group:  # fmt: skip
    count = len(known)
    bounds: list[float] = []
    weights: list[float] = []
    for column in columns:
        statistic = known[column]
        independent = (reference.rows or 0) / reference.times.get(statistic.feature, 1.0)
        z = margin(independent, expected_run_length * count)
        error = math.sqrt(statistic.variance / independent)
        bounds.append(min(1.0, statistic.mean + z * error + (1.0 + z * z) / independent))
        weights.append(1.0 / features / sum(s.feature == statistic.feature for s in known) / BETS)
    largest = _LARGEST_FRACTION if block == 1 else _LARGEST_FRACTION_OF_BLOCKS
    bets = [_bets(bound, largest) for bound in bounds]
    # Bets go first and statistics last: numpy is quick along the last axis, and there are few bets.
    return Group(block, np.array(columns), np.array(bounds), np.array(bets).T.copy(), block * np.array(weights))


def _bets(null_mean: float, largest: float) -> list[float]:
    # Fractions of the largest admissible bet, geometric, as those of `loss_monitor`.
    smallest = min(0.2, _SMALLEST_RISE / max(1.0 - null_mean, _SMALLEST_RISE))
    return [smallest * (largest / smallest) ** (k / (BETS - 1)) / null_mean for k in range(BETS)]


def _statistics(reference: FeatureReference, curves: Mapping[str, PitCurve]) -> Iterator[Statistic]:
    """In the order of the columns: what is told of numbers, each for all of them, then the categories."""
    for what in _OF_A_NUMBER:
        for name, number in reference.numbers.items():
            yield _rate(name, what, number.missing) if what == "missing" else _of_pit(name, what, curves[name])
    for name, category in reference.categories.items():
        for known, share in zip(category.names, category.frequencies, strict=True):
            yield _rate(name, f"more {known!r}", share)
            yield _rate(name, f"fewer {known!r}", 1.0 - share)
        yield _rate(name, "other", category.other)
        yield _rate(name, "missing", category.missing)
    for name, view in reference.views.items():
        yield _rate(name, NEW_ENTITIES, view.empty)


def _of_pit(name: str, what: str, curve: PitCurve) -> Statistic:
    located = what in ("higher", "lower")
    mean, variance = (curve.u_mean, curve.u_variance) if located else (curve.spread_mean, curve.spread_variance)
    return Statistic(name, what, mean if what in ("higher", "wider") else 1.0 - mean, variance)


def _rate(feature: str, what: str, rate: float) -> Statistic:
    return Statistic(feature, what, rate, rate * (1.0 - rate))


def _put_numbers(values: Values, curves: Mapping[str, PitCurve], rows: Sequence[Row]) -> None:
    given, count = _given(tuple(curves), rows), len(curves)
    u = np.empty(given.shape)
    for column, curve in enumerate(curves.values()):
        u[:, column] = curve.of(given[:, column])
    spread = np.abs(2.0 * u - 1.0)
    for place, what in enumerate((u, 1.0 - u, spread, 1.0 - spread, np.isnan(given))):
        values[:, place * count : (place + 1) * count] = what


def _given(names: tuple[str, ...], rows: Sequence[Row]) -> Values:
    """[rows, names], NaN for what is missing."""
    pick = itemgetter(*names)  # of a single name the value itself
    try:
        given = np.array([pick(row) for row in rows], dtype=np.float64).reshape(len(rows), len(names))
    except (KeyError, TypeError, ValueError, OverflowError):
        picked = [[finite(row.get(name)) for name in names] for row in rows]
        return np.array(picked, dtype=np.float64)
    given[~np.isfinite(given)] = np.nan
    return given


def _put_category(values: Values, column: int, name: str, known: CategoryReference, rows: Sequence[Row]) -> int:
    count = len(known.names)
    places = np.array([_place(row.get(name), known) for row in rows], dtype=np.int64)
    is_known = places[:, None] == np.arange(count)
    values[:, column : column + 2 * count : 2] = is_known
    values[:, column + 1 : column + 2 * count : 2] = ~is_known
    values[:, column + 2 * count] = places == count
    values[:, column + 2 * count + 1] = places == count + 1
    return column + 2 * count + 2


def _is_empty(inputs: Sequence[str], row: Row) -> bool:
    for name in inputs:
        value = row.get(name)
        if value and value == value:  # NaN is missing as well
            return False
    return True


def _place(value: Any, known: CategoryReference) -> int:
    count = len(known.names)
    return count + 1 if value is None or value == "" else known.places.get(category_key(value), count)
