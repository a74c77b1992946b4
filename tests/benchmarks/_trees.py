"""An expected loss (`shared/contracts/expected_loss.py`) of many rows at once; of numbers and outputs only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shared.contracts.expected_loss import ExpectedLoss, Node
from tests.benchmarks._streams import Values

# [columns, rows], in the order of the trees' columns.
Columns = npt.NDArray[np.float32]
# So many rows stay in the processor's cache.
_ROWS = 4_096


def values_of(model: ExpectedLoss, columns: Columns) -> Values:
    """`ExpectedLoss.of` each row [n]; none of the columns is a category, and no number is missing."""
    found = np.empty(columns.shape[1])
    for first in range(0, len(found), _ROWS):
        part = np.ascontiguousarray(columns[:, first : first + _ROWS])
        total = np.zeros(part.shape[1])
        for tree in model.trees:
            total += _of_tree(tree, part, 0)
        found[first : first + _ROWS] = total
    return np.clip(model.base + found, 0.0, 1.0)


def _of_tree(tree: Sequence[Node], columns: Columns, at: int) -> Values | float:
    column, threshold, left, right, _, value = tree[at]
    if left < 0:
        return value
    # A threshold may lie between two float32 values, and then it is compared as it is.
    goes_left = columns[column] <= np.float64(threshold)
    return np.where(goes_left, _of_tree(tree, columns, left), _of_tree(tree, columns, right))
