"""How often a version is right, by how sure it is and in which region of its inputs: counts, as JSON.

Training takes them on rows that the version's fit has not seen, and writes them into the artifact's manifest;
monitoring estimates from them how often the version is right while labels are on their way. Format:

{"outputs": K, "columns": [...], "tree": [...], "edges": [...], "cells": [[[rows, hits, loss], ...], ...]}

Columns and tree are those of `expected_loss`; the value of a leaf is its place among the `cells`. A record's score is
the probability of class 1 (K = 1: a binary model), or the largest of K probabilities. `edges`, rising, part the scores
into bins, an edge itself belonging to the bin above; of a binary model 0.5 is one of them, so that all of a bin are
answered alike. `cells[leaf][bin]`: rows, hits (binary: label 1; otherwise: the class of the largest probability) and
the sum of their monitored losses in [0, 1].
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from shared.contracts.expected_loss import Column, Node, leaf_value, read_columns, read_tree

HALF = 0.5
MOST_LEAVES = 16
MOST_BINS = 32
# Sums and bounds of float32 probabilities are not exact.
_TOLERANCE = 1e-3


class Counts(NamedTuple):
    """Rows, hits among them and the sum of their losses, by place (leaf * bins + bin)."""

    rows: tuple[int, ...]
    hits: tuple[int, ...]
    loss: tuple[float, ...]

    def with_one(self, place: int, hit: bool, loss: float) -> Counts:
        return Counts(
            (*self.rows[:place], self.rows[place] + 1, *self.rows[place + 1 :]),
            (*self.hits[:place], self.hits[place] + hit, *self.hits[place + 1 :]),
            (*self.loss[:place], self.loss[place] + loss, *self.loss[place + 1 :]),
        )

    def plus(self, other: Counts) -> Counts:
        return Counts(
            tuple(a + b for a, b in zip(self.rows, other.rows, strict=True)),
            tuple(a + b for a, b in zip(self.hits, other.hits, strict=True)),
            tuple(a + b for a, b in zip(self.loss, other.loss, strict=True)),
        )

    @classmethod
    def none(cls, places: int) -> Counts:
        return cls((0,) * places, (0,) * places, (0.0,) * places)


@dataclass(frozen=True, slots=True)
class Calibration:
    """A version's table. Binary: `outputs` is 1. A place is leaf * bins + bin."""

    outputs: int
    columns: tuple[Column, ...]
    tree: tuple[Node, ...]
    edges: tuple[float, ...]
    leaves: int
    counts: Counts

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """What training wrote. Raises ValueError, KeyError or TypeError for anything else."""
        columns, edges = read_columns(data["columns"]), tuple(float(edge) for edge in data["edges"])
        tree, outputs, leaves = read_tree(data["tree"], len(columns)), data["outputs"], len(data["cells"])
        if not isinstance(outputs, int) or outputs < 1 or (outputs == 1 and HALF not in edges):
            raise ValueError(f"scores of {outputs} outputs with edges {edges}; of one output 0.5 is an edge")
        if not all(map(math.isfinite, edges)) or any(low >= high for low, high in pairwise(edges)):
            raise ValueError(f"edges {edges} do not rise")
        if not 1 <= leaves <= MOST_LEAVES or len(edges) >= MOST_BINS:
            raise ValueError(f"{leaves} regions and {len(edges) + 1} bins; 1 to {MOST_LEAVES}, at most {MOST_BINS}")
        if any(len(leaf) != len(edges) + 1 for leaf in data["cells"]):
            raise ValueError(f"a region that has not {len(edges) + 1} bins")
        if not {node[5] for node in tree if node[2] < 0} <= set(range(leaves)):
            raise ValueError(f"a leaf of the tree is none of the {leaves} regions")
        cells = [_cell(*cell) for leaf in data["cells"] for cell in leaf]
        rows, hits, loss = zip(*cells, strict=True)
        return cls(outputs, columns, tree, edges, leaves, Counts(rows, hits, loss))

    @property
    def bins(self) -> int:
        return len(self.edges) + 1

    @property
    def zeros(self) -> int:
        """How many of the bins, the first ones, a binary model answers with 0; none of another model."""
        return self.edges.index(HALF) + 1 if self.outputs == 1 else 0

    def place(self, inputs: Mapping[str, Any], output: Sequence[float | None]) -> int | None:
        """Where a record with this output belongs; None if the output is no prediction."""
        score = self._score(output)
        if score is None:
            return None
        values = array("f", [column.of(inputs, ()) for column in self.columns])
        return int(leaf_value(self.tree, values)) * self.bins + bisect_right(self.edges, score)

    def is_hit(self, place: int, right: bool) -> bool:
        """What `hits` counts, of a record that was answered right or wrong."""
        return right if place % self.bins >= self.zeros else not right

    def _score(self, output: Sequence[float | None]) -> float | None:
        known = [value for value in output if value is not None and -_TOLERANCE <= value <= 1.0 + _TOLERANCE]
        if len(output) != self.outputs or len(known) != self.outputs:
            return None
        return None if self.outputs > 1 and abs(sum(known) - 1.0) > _TOLERANCE else max(known)


def _cell(rows: Any, hits: Any, loss: Any) -> tuple[int, int, float]:
    if not (isinstance(rows, int) and isinstance(hits, int) and 0 <= hits <= rows and 0.0 <= loss <= rows + _TOLERANCE):
        raise ValueError(f"a cell of {rows} rows, {hits} hits and losses of {loss}")
    return rows, hits, float(loss)
