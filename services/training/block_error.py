"""How sure a mean is, of values that hang together from row to row: the spread of the means of consecutive blocks.

Batch means (Law and Carson 1979): blocks that are longer than what hangs together vary as if they were independent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BLOCK_ROWS = 24
LEAST_BLOCKS = 4


class BlockError(NamedTuple):
    """The standard error of a mean, and over how many blocks it was taken."""

    standard_error: float
    blocks: int


def block_error(values: npt.NDArray[np.float64]) -> BlockError | None:
    """Of finite values [n] in time order, in blocks of at least BLOCK_ROWS rows; None with fewer than LEAST_BLOCKS."""
    count = len(values) // BLOCK_ROWS
    if count < LEAST_BLOCKS:
        return None
    means = np.array([block.mean() for block in np.array_split(values, count)])
    return BlockError(float(means.std(ddof=1)) / math.sqrt(count), count)
