"""Rows with exact 95 % intervals. A goal is met where the interval does not lie beyond it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scipy import stats

from tests.reports import Row

TAIL = 0.025


def rate(name: str, count: int, exposure: float, unit: str, *, most: float | None = None) -> Row:
    """Events in an exposure, as Poisson (Garwood 1936)."""
    low = float(stats.chi2.ppf(TAIL, 2 * count)) / 2.0 if count else 0.0
    high = float(stats.chi2.ppf(1.0 - TAIL, 2 * (count + 1))) / 2.0
    return _row(name, count / exposure, low / exposure, high / exposure, unit, most=most)


def share(name: str, hits: int, count: int, unit: str, *, most: float | None = None, least: float | None = None) -> Row:
    """Hits of so many trials (Clopper and Pearson 1934)."""
    low = float(stats.beta.ppf(TAIL, hits, count - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1.0 - TAIL, hits + 1, count - hits)) if hits < count else 1.0
    return _row(name, hits / count, low, high, unit, most=most, least=least)


def median(name: str, values: Sequence[float], unit: str, *, most: float | None = None) -> Row:
    """The median between its order statistics (David and Nagaraja 2003, section 7.1)."""
    ordered, count = sorted(values), len(values)
    rank = int(stats.binom.ppf(TAIL, count, 0.5))
    low, high = ordered[max(0, rank - 1)], ordered[min(count - 1, count - rank)]
    return _row(name, statistics.median(ordered), low, high, unit, most=most)


def _row(
    name: str, value: float, low: float, high: float, unit: str, *, most: float | None = None,
    least: float | None = None,
) -> Row:  # fmt: skip
    if most is not None:
        return Row(name, value, low, high, unit, f"<= {most:g}", low <= most)
    if least is not None:
        return Row(name, value, low, high, unit, f">= {least:g}", high >= least)
    return Row(name, value, low, high, unit)
