"""Rows with 95 % intervals, exact where no two values share what is random.

A goal is met where the interval does not lie beyond it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
from scipy import stats

from tests.reports import Row

TAIL = 0.025
_DRAWS = 1_000


def rate(name: str, count: int, exposure: float, unit: str, *, most: float | None = None) -> Row:
    """Events in an exposure, as Poisson (Garwood 1936)."""
    low = float(stats.chi2.ppf(TAIL, 2 * count)) / 2.0 if count else 0.0
    high = float(stats.chi2.ppf(1.0 - TAIL, 2 * (count + 1))) / 2.0
    return _row(name, count / exposure, low / exposure, high / exposure, unit, most=most)


def rate_of(name: str, counts: Sequence[int], exposure: float, unit: str, *, most: float | None = None) -> Row:
    """As `rate`, of several references, each watched for `exposure`.

    References differ in how far off they are, so that counts vary more than Poisson: both ends are then those of a
    count that is smaller by the ratio of their variance to their mean (quasi-Poisson, Wedderburn 1974).
    """
    total, ratio = sum(counts), 1.0
    if total and len(counts) > 1:
        ratio = max(1.0, statistics.variance(counts) / statistics.mean(counts))
    low = float(stats.chi2.ppf(TAIL, 2.0 * total / ratio)) / 2.0 if total else 0.0
    high = float(stats.chi2.ppf(1.0 - TAIL, 2.0 * (total / ratio + 1.0))) / 2.0
    whole = exposure * len(counts)
    return _row(name, total / whole, low * ratio / whole, high * ratio / whole, unit, most=most)


def share(name: str, hits: int, count: int, unit: str, *, most: float | None = None, least: float | None = None) -> Row:
    """Hits of so many trials (Clopper and Pearson 1934)."""
    low = float(stats.beta.ppf(TAIL, hits, count - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1.0 - TAIL, hits + 1, count - hits)) if hits < count else 1.0
    return _row(name, hits / count, low, high, unit, most=most, least=least)


def share_of(name: str, groups: Sequence[Sequence[bool]], unit: str, *, most: float | None = None) -> Row:
    """As `share`, of trials whose groups share what is random: of as many trials as would vary as much if each were
    alone (Korn and Graubard 1998), and of one a group where nothing tells how they vary. Without a trial it is NaN,
    from 0 to 1, and has no goal."""
    given = [group for group in groups if group]
    if not given:
        return _row(name, math.nan, 0.0, 1.0, unit)
    hits, counts = np.array([sum(group) for group in given]), np.array([len(group) for group in given])
    count, effective, variance = int(counts.sum()), float(len(given)), 0.0
    value = float(hits.sum()) / count
    if len(given) > 1:
        variance = len(given) / (len(given) - 1) * float(((hits - value * counts) ** 2).sum()) / count**2
    if variance > 0.0:
        few = (stats.t.ppf(TAIL, count - 1) / stats.t.ppf(TAIL, len(given) - 1)) ** 2
        effective = min(float(count), value * (1.0 - value) / variance * float(few))
    low = float(stats.beta.ppf(TAIL, value * effective, (1.0 - value) * effective + 1.0)) if value else 0.0
    high = float(stats.beta.ppf(1.0 - TAIL, value * effective + 1.0, (1.0 - value) * effective)) if value < 1.0 else 1.0
    return _row(name, value, low, high, unit, most=most)


def median(name: str, values: Sequence[float], unit: str, *, most: float | None = None) -> Row:
    """The median between its order statistics (David and Nagaraja 2003, section 7.1)."""
    ordered, count = sorted(values), len(values)
    rank = int(stats.binom.ppf(TAIL, count, 0.5))
    low, high = ordered[max(0, rank - 1)], ordered[min(count - 1, count - rank)]
    return _row(name, statistics.median(ordered), low, high, unit, most=most)


def median_of(name: str, groups: Sequence[Sequence[float]], unit: str, *, most: float | None = None) -> Row:
    """The median of all values of groups that share what is random (a reference), whose groups are drawn again and
    again (cluster bootstrap, Davison and Hinkley 1997, section 3.8; its draws have a seed of their own)."""
    rng, given = np.random.default_rng(len(groups)), [np.array(group) for group in groups if len(group)]
    drawn = [
        statistics.median(np.concatenate([given[i] for i in rng.integers(len(given), size=len(given))]).tolist())
        for _ in range(_DRAWS)
    ]
    # Drawn medians themselves, with nothing between them: runs that never end are infinite.
    low, high = np.quantile(drawn, [TAIL, 1.0 - TAIL], method="inverted_cdf").tolist()
    return _row(name, statistics.median(np.concatenate(given).tolist()), low, high, unit, most=most)


def _row(
    name: str, value: float, low: float, high: float, unit: str, *, most: float | None = None,
    least: float | None = None,
) -> Row:  # fmt: skip
    if most is not None:
        return Row(name, value, low, high, unit, f"<= {most:g}", low <= most)
    if least is not None:
        return Row(name, value, low, high, unit, f">= {least:g}", high >= least)
    return Row(name, value, low, high, unit)
