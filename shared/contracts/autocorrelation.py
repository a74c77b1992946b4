"""How strongly neighbouring values hang together, in one pass and little memory: variances of means of blocks.

Level j holds the means of consecutive blocks of 2^j values. For independent values 2^j Var(block mean) = Var(value) at
every level; for autocorrelated ones it rises with j until blocks are longer than what hangs together, and its ratio
to Var(value) is then the integrated autocorrelation time tau: the mean of n values varies as the mean of n / tau
independent ones. Source: Flyvbjerg and Petersen, "Error estimates on averages of correlated data" (1989).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

# Blocks of one level: how many, the sum and the sum of squares of their means, and the mean that waits for its pair.
Level = tuple[int, float, float, float | None]
Levels = tuple[Level, ...]

LEVELS = 12
# With fewer blocks a variance says little: its relative standard error is sqrt(2 / blocks).
FEWEST_BLOCKS = 40
# Less than this is left alone: what blocks would cost in delay is more than it does to the run length.
LEAST_TIME = 1.1
_STANDARD_ERRORS = 4.0
# Of AR(1) values the ratio rises by less once blocks are as long as tau.
_STEEP = 1.5
_Z = NormalDist().inv_cdf(0.975)


def with_value(levels: Levels, value: float) -> Levels:
    """The levels after one more value; `()` is the beginning."""
    grown = list(levels)
    for j in range(LEVELS):
        blocks, total, squares, waiting = grown[j] if j < len(grown) else (0, 0.0, 0.0, None)
        level = (blocks + 1, total + value, squares + value * value, value if waiting is None else None)
        if j < len(grown):
            grown[j] = level
        else:
            grown.append(level)
        if waiting is None:
            break
        value = (waiting + value) / 2.0
    return tuple(grown)


def of_values(values: Sequence[float]) -> Levels:
    """The levels of values in their order: those of `with_value`, value by value, and much sooner."""
    levels: list[Level] = []
    while values and len(levels) < LEVELS:
        squares = sum(value * value for value in values)
        levels.append((len(values), sum(values), squares, values[-1] if len(values) % 2 else None))
        values = [(first + second) / 2.0 for first, second in zip(values[::2], values[1::2], strict=False)]
    return tuple(levels)


def count(levels: Levels) -> int:
    return levels[0][0] if levels else 0


def mean(levels: Levels) -> float:
    """Of at least one value."""
    return levels[0][1] / levels[0][0]


def variance(level: Level) -> float:
    """Unbiased, of the block means of a level with at least two blocks."""
    blocks, total, squares, _ = level
    return max(0.0, squares - total * total / blocks) / (blocks - 1)


def autocorrelation_time(levels: Levels) -> float:
    """tau, in values, at least 1; exactly 1 where the values may as well be independent.

    The largest ratio of a level with at least FEWEST_BLOCKS blocks. Where it still rises steeply from the last but one
    of these levels to the last, blocks are not long enough to tell, and it is taken twice.
    """
    found, before, ratio = 1.0, 1.0, 1.0
    of_one = variance(levels[0]) if count(levels) >= FEWEST_BLOCKS else 0.0
    if of_one <= 0.0:
        return found
    for j, level in enumerate(levels[1:], start=1):
        if level[0] < FEWEST_BLOCKS:
            break
        before, ratio = ratio, 2.0**j * variance(level) / of_one
        if ratio > max(found, LEAST_TIME, 1.0 + _STANDARD_ERRORS * math.sqrt(2.0 / level[0])):
            found = ratio
    return 2.0 * found if found == ratio > _STEEP * before else found


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean of at least two values in their order and its 95 % interval, widened by their autocorrelation time."""
    levels = of_values(values)
    centre, half = mean(levels), _Z * math.sqrt(variance(levels[0]) * autocorrelation_time(levels) / len(values))
    return centre, centre - half, centre + half
