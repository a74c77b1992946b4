"""Where the mean of differences in [-1, 1] lies, with one error bound for all times at once: a confidence sequence.

Of n differences d with conditional means m, sum S and sum of squares V, and a bet b in (0, 1),

    exp(b (S - sum m) - psi(b) V),  psi(b) = -ln(1 - b) - b,

is a non-negative supermartingale from 1, for exp(b d - psi(b) d^2) <= 1 + b d where d >= -1 (Fan, Grama, Liu,
"Exponential inequalities for martingales with applications", 2015) and 1 + b m <= exp(b m). So is the mean of it over
the bets, and by Ville's inequality it reaches 2 / alpha, ever, with probability at most alpha / 2; the same holds of
-d. Hence with probability at least 1 - alpha the mean of the conditional means lies within [S - u, S + u] / n at every
n, however often one looks, and whether it stands still or moves; u solves mean_b exp(b u - psi(b) V) = 2 / alpha. The
empirical-Bernstein confidence sequence of Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences" (2021), mixed over a grid of bets and centred at 0, where differences of paired
losses lie; it needs no state but (n, S, V), and no order of the outcomes.
"""

from __future__ import annotations

import math

# Geometric: the smallest is the best one at V of about 200,000, the largest at a handful.
BETS = tuple(0.9 * 2.0**-k for k in range(8))
_COSTS = tuple(-math.log1p(-bet) - bet for bet in BETS)
# Newton's steps from above on a convex function: a dozen are enough for a double.
_STEPS = 50


def bounds(count: int, total: float, squares: float, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the mean, within [-1, 1], at level 1 - alpha for all counts together.

    count: differences seen, all in [-1, 1]; total and squares: their sum and sum of squares. Raises ValueError for an
    alpha outside (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha {alpha}: it lies above 0 and below 1")
    if count < 1:
        return -1.0, 1.0
    reach = _boundary(max(0.0, squares), math.log(2.0 / alpha))
    return max(-1.0, (total - reach) / count), min(1.0, (total + reach) / count)


def _boundary(squares: float, needed: float) -> float:
    """u of the module's docstring, from above."""
    charged = [cost * squares for cost in _COSTS]
    alone = needed + math.log(len(BETS))
    # Where one bet alone would do, all of them together reach further.
    reach = min((alone + charge) / bet for bet, charge in zip(BETS, charged, strict=True))
    for _ in range(_STEPS):
        logs = [bet * reach - charge for bet, charge in zip(BETS, charged, strict=True)]
        largest = max(logs)
        weights = [math.exp(log - largest) for log in logs]
        value = largest + math.log(sum(weights) / len(BETS)) - needed
        slope = sum(bet * weight for bet, weight in zip(BETS, weights, strict=True)) / sum(weights)
        nearer = reach - value / slope
        if not value > 0.0 or nearer >= reach:
            break
        reach = nearer
    return reach
