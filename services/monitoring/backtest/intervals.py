"""95 % intervals of a count and of a median, exact, without a library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

_TAIL = 0.025
_Z = NormalDist().inv_cdf(1.0 - _TAIL)
_BISECTIONS = 60
_EXACT = 200  # of more events the square root of the count is as good


def of_count(events: int) -> tuple[float, float]:
    """Of the mean of a Poisson count (Garwood 1936)."""
    if events > _EXACT:
        root = math.sqrt(events)
        return (root - _Z / 2.0) ** 2, (root + _Z / 2.0) ** 2
    low = 0.0 if events == 0 else _solved(lambda mean: 1.0 - _at_most(events - 1, mean) < _TAIL, events)
    return low, _solved(lambda mean: _at_most(events, mean) > _TAIL, events)


def of_median(values: Sequence[float]) -> tuple[float, float, float]:
    """The median of at least one value with its interval, by order statistics; values may be infinite."""
    ordered, n = sorted(values), len(values)
    half = _Z * math.sqrt(n) / 2.0
    low, high = math.floor(n / 2.0 - half), math.ceil(n / 2.0 + half)
    return ordered[n // 2], ordered[max(0, low)], ordered[min(n - 1, high)]


def _solved(too_low: Callable[[float], bool], events: int) -> float:
    low, high = 0.0, 3.0 * events + 10.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if too_low(middle) else (low, middle)
    return high


def _at_most(events: int, mean: float) -> float:
    """P(N <= events) of a Poisson count."""
    term = total = math.exp(-mean)
    for n in range(1, events + 1):
        term *= mean / n
        total += term
    return total
