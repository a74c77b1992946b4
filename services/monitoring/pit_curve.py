"""The probability integral transform of a number as a curve of few points, quick for many values at once.

Coarser than `NumberReference.pit`: any rising map of the values into [0, 1] can be monitored, as long as the mean that
it has under the reference is known, and that is computed with the same curve.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
# Of 257 knots 33 stay, which a search finds its way among in half the time.
_EVERY = 8
# Knots are float32 values in nine digits; a double that was rounded to the same float32 is the same value.
_FLOAT32_RESOLUTION = 2e-7


@dataclass(frozen=True, slots=True)
class PitCurve:
    """u is linear between the points (at, u); 0 below the first, 1 above the last.

    u_mean, u_variance, spread_mean, spread_variance: of u and of |2u - 1| under the reference itself.
    """

    at: Values
    u: Values
    u_mean: float
    u_variance: float
    spread_mean: float
    spread_variance: float

    def of(self, values: Values) -> Values:
        """u of each value [n]; NaN of NaN."""
        return np.interp(values, self.at, self.u, left=0.0, right=1.0)


def pit_curve(knots: Sequence[float]) -> PitCurve:
    """The curve of evenly spaced quantiles, two or more finite numbers in rising order."""
    at, u = _points(knots)
    fine = np.array(knots)
    # Half before the sum, for the sum of two finite doubles may be none.
    drawn = np.interp(fine[:-1] / 2.0 + fine[1:] / 2.0, at, u, left=0.0, right=1.0)
    spread = np.abs(2.0 * drawn - 1.0)
    return PitCurve(at, u, float(drawn.mean()), float(drawn.var()), float(spread.mean()), float(spread.var()))


def _points(knots: Sequence[float]) -> tuple[Values, Values]:
    """A value that ties knots has a small flat stretch around it, at the middle of its probability."""
    at, u, last = list[float](), list[float](), len(knots) - 1
    first = 0
    while first <= last:
        near = _FLOAT32_RESOLUTION * abs(knots[first])
        end = bisect_right(knots, knots[first] + near) - 1
        if end == first:
            if first % _EVERY == 0 or first == last:
                at, u = [*at, knots[first]], [*u, first / last]
        else:
            below, above = knots[first] - near, knots[end] + near
            at += [math.nextafter(below, -math.inf), below, above, math.nextafter(above, math.inf)]
            u += [first / last, *[(first + end) / 2.0 / last] * 2, end / last]
        first = end + 1
    return np.array(at), np.array(u)
