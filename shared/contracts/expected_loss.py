"""What a version is expected to lose on a record, from its inputs and its own outputs: a sum of small trees, as JSON.

Training fits it on rows that were held back, and writes it into the artifact's manifest; monitoring evaluates it. What
it explains (a season, a shift towards harder records) is no change of the concept. Format:

{"base": b, "cap": q, "columns": [...], "trees": [[[column, threshold, left, right, missing_left, value], ...], ...]}

A column is {"input": name}, {"input": name, "means": {category: number}, "other": number} or {"output": place}. A node
whose `left` is -1 is a leaf with its `value`; otherwise a number, rounded to float32, goes left if it is at most the
threshold, and a missing one as `missing_left` says.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Node = tuple[int, float, int, int, bool, float]
_LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Column:
    """Where one of the trees' numbers comes from: an input, with what stands for its categories, or an output."""

    name: str | None
    place: int = 0
    means: Mapping[str, float] | None = None
    other: float = math.nan

    def of(self, inputs: Mapping[str, Any], outputs: Sequence[float]) -> float:
        """The number, NaN if it is missing."""
        if self.name is None:
            value: Any = outputs[self.place] if self.place < len(outputs) else None
        else:
            value = inputs.get(self.name)
        if self.means is not None:
            return math.nan if value is None or value == "" else self.means.get(str(value), self.other)
        # An integer beyond the largest double has no float.
        return float(value) if isinstance(value, int | float) and -_LARGEST <= value <= _LARGEST else math.nan


@dataclass(frozen=True, slots=True)
class ExpectedLoss:
    """base: the mean loss. cap: what a residual weighs in full, see `residual`."""

    base: float
    cap: float
    columns: tuple[Column, ...]
    trees: tuple[tuple[Node, ...], ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExpectedLoss:
        """What training wrote. Raises ValueError, KeyError or TypeError for anything else."""
        columns = read_columns(data["columns"])
        trees = tuple(read_tree(tree, len(columns)) for tree in data["trees"])
        base, cap = float(data["base"]), float(data["cap"])
        if not (0.0 <= base <= 1.0 and 0.0 < cap <= 1.0):
            raise ValueError(f"base {base} or cap {cap} is no bounded loss")
        return cls(base, cap, columns, trees)

    def of(self, inputs: Mapping[str, Any], outputs: Sequence[float]) -> float:
        """The loss that is expected of a version with these outputs on these inputs, in [0, 1]."""
        values = array("f", [column.of(inputs, outputs) for column in self.columns])
        return min(1.0, max(0.0, self.base + sum(leaf_value(tree, values) for tree in self.trees)))

    def residual(self, loss: float, expected: float) -> float:
        """How much more was lost than expected, in [-cap, 1]: loss - expected, and less of it where more than `cap` is
        expected. A monitor that had to allow for residuals down to -1 would have to bet far more carefully."""
        return (loss - expected) * min(1.0, self.cap / expected) if expected > 0.0 else loss

    def to_unit(self, residual: float) -> float:
        """A residual in [-cap, 1] as what a monitor bets on, in [0, 1]."""
        return min(1.0, max(0.0, (residual + self.cap) / (1.0 + self.cap)))

    def of_unit(self, value: float) -> float:
        """The residual, or the mean of some, that `to_unit` has mapped."""
        return value * (1.0 + self.cap) - self.cap


def read_columns(data: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of trees, as training wrote them. Raises ValueError or TypeError for what is none."""
    return tuple(_column(dict(each)) for each in data)


def read_tree(data: Sequence[Sequence[Any]], columns: int) -> tuple[Node, ...]:
    """One tree on so many columns. Raises ValueError or TypeError for what is none."""
    if not data:
        raise ValueError("a tree without a node")
    return tuple(_node(node, place, columns, len(data)) for place, node in enumerate(data))


def leaf_value(tree: Sequence[Node], values: Sequence[float]) -> float:
    """The value of the leaf that these numbers, one a column, come to."""
    at = 0
    while True:
        column, threshold, left, right, missing_left, value = tree[at]
        if left < 0:
            return value
        number = values[column]
        goes_left = missing_left if number != number else number <= threshold
        at = left if goes_left else right


def _column(given: Mapping[str, Any]) -> Column:
    name, place, means = given.get("input"), given.get("output", 0), given.get("means")
    if not isinstance(name, str | None) or not isinstance(place, int) or not isinstance(means, Mapping | None):
        raise ValueError(f"{given} is neither an input, with or without means of its categories, nor an output")
    numbers = None if means is None else {str(category): float(mean) for category, mean in means.items()}
    return Column(name, place, numbers, float(given.get("other", math.nan)))


def _node(given: Sequence[Any], place: int, columns: int, nodes: int) -> Node:
    column, threshold, left, right, missing_left, value = given
    # Children stand behind their parent: who walks down comes to a leaf.
    if left != -1 and not (0 <= column < columns and place < left < nodes and place < right < nodes):
        raise ValueError(f"node {given} of a tree with {nodes} nodes on {columns} columns")
    if not (math.isfinite(threshold) and math.isfinite(value)):
        raise ValueError(f"node {given} of a tree holds what is no number")
    return int(column), float(threshold), int(left), int(right), bool(missing_left), float(value)
