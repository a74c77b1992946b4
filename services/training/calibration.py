"""How often a fitted model is right, by region of its inputs and by how sure it is; the format is that of
`shared/contracts/calibration.py`.

A region is a leaf of one small tree on the inputs, grown on where the model is right more often, and less, than
elsewhere: that is where a shift of the inputs changes how often it is right, at the same score too. The number of
leaves is the one that does best on rows that the tree has not seen (contiguous folds, for neighbouring rows hang
together); one, if nothing is found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.tree import DecisionTreeRegressor

from services.training.dataset import Dataset
from services.training.evaluation import Losses, Outputs, class_positions
from services.training.expected_loss import Features, encoded_categories, nodes
from services.training.reference import rounded
from shared.contracts.calibration import HALF

FEWEST_ROWS = 100
_MOST_BINS = 10
_BIN_ROWS = 25
_LEAF_ROWS = 50
# Numbers of leaves that are compared.
_SIZES = (1, 2, 4, 8)
_FOLDS = 4

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


def calibration(rows: Dataset, outputs: Outputs, losses: Losses, classes: tuple[str, ...]) -> dict[str, Any] | None:
    """Of a classifier's outputs [n, K] and bounded losses [n] on these rows, in time order. None: a regression, outputs
    or losses that are not finite, fewer than FEWEST_ROWS rows, or labels of one class only."""
    if rows.task == "regression" or len(rows) < FEWEST_ROWS or len(set(rows.target.tolist())) < 2:
        return None
    if not (np.isfinite(outputs).all() and np.isfinite(losses).all()):
        return None
    scores, hits, right = _scored(rows, outputs, classes)
    edges = _edges(scores, binary=rows.task == "binary")
    bins = np.searchsorted(edges, scores, side="right")
    encoded, categories = encoded_categories(rows, right, float(right.mean()))
    features = np.column_stack([rows.numbers, encoded]).astype(np.float32)
    tree = _grown(features, right, _best_size(features, right))
    leaf_of, leaves = tree.apply(features), np.flatnonzero(tree.tree_.children_left < 0).tolist()
    values = [leaves.index(node) if node in leaves else 0 for node in range(tree.tree_.node_count)]
    columns = [*({"input": name} for name in rows.number_names), *categories]
    used = sorted({int(column) for column in tree.tree_.feature if column >= 0})
    return {
        "outputs": outputs.shape[1],
        "columns": [columns[column] for column in used],
        "tree": [_on(used, node) for node in nodes(tree.tree_, values)],
        "edges": edges.tolist(),
        "cells": [
            _cells(len(edges) + 1, bins[of], hits[of], losses[of]) for of in (leaf_of == leaf for leaf in leaves)
        ],
    }


def _scored(rows: Dataset, outputs: Outputs, classes: tuple[str, ...]) -> tuple[Floats, Floats, Floats]:
    """Of each row: its score, whether it is a hit, whether it was answered right."""
    if rows.task == "binary":
        scores, hits = outputs[:, 0].astype(np.float64), rows.target.astype(np.float64)
        return scores, hits, ((scores >= HALF) == (hits == 1.0)).astype(np.float64)
    right = (np.argmax(outputs, axis=1) == class_positions(rows.target, classes)).astype(np.float64)
    return outputs.max(axis=1).astype(np.float64), right, right


def _edges(scores: Floats, *, binary: bool) -> Floats:
    """Edges of bins of equally many scores, halfway between two that were seen: a score that is rounded otherwise
    where the model is served stays in its bin."""
    known = np.unique(scores)
    count = min(_MOST_BINS, len(scores) // _BIN_ROWS)
    above = np.searchsorted(known, np.quantile(scores, np.arange(1, count) / count))
    above = above[above > 0]
    edges = {rounded(float(edge)) for edge in (known[above - 1] + known[above]) / 2.0}
    return np.array(sorted(edges | {HALF} if binary else edges), dtype=np.float64)


def _best_size(features: Features, right: Floats) -> int:
    errors = dict.fromkeys(_SIZES, 0.0)
    for fold in np.array_split(np.arange(len(right)), _FOLDS):
        others = np.ones(len(right), dtype=bool)
        others[fold] = False
        for size in _SIZES:
            off = right[fold] - _grown(features[others], right[others], size).predict(features[fold])
            errors[size] += float(off @ off)
    return min(_SIZES, key=lambda size: errors[size])


def _grown(features: Features, right: Floats, leaves: int) -> DecisionTreeRegressor:
    # No tree of one leaf can be asked for; one whose leaves would have to hold all rows has no second one.
    least = _LEAF_ROWS if leaves > 1 else len(right)
    return DecisionTreeRegressor(max_leaf_nodes=max(2, leaves), min_samples_leaf=least, random_state=0).fit(
        features, right
    )


def _on(used: list[int], node: list[Any]) -> list[Any]:
    """A node with the place of its column among those that are asked for; a leaf asks for none."""
    return [used.index(node[0]) if node[2] >= 0 else 0, *node[1:]]


def _cells(count: int, bins: Places, hits: Floats, losses: Floats) -> list[list[Any]]:
    rows = np.bincount(bins, minlength=count)
    of_hits, of_losses = (np.bincount(bins, weights=values, minlength=count) for values in (hits, losses))
    return [
        [int(n), round(float(k)), rounded(float(loss))] for n, k, loss in zip(rows, of_hits, of_losses, strict=True)
    ]
