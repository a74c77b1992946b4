"""The expected loss of a version, fitted on rows that its own fit has not seen; the format is that of
`shared/contracts/expected_loss.py`.

Least-squares gradient boosting (Friedman 2001) with small trees, as many as do best on rows that they have not seen
(contiguous folds, for neighbouring rows hang together), none at all if that is best: what it is to find is a season or
a region where the model is worse, and what it takes for one of these without being one costs the monitor sharpness.

Of each column one threshold is drawn, and the best of them is taken (extremely randomized trees: Geurts, Ernst and
Wehenkel 2006). Where a loss says as little of its mean as one does, the best of all thresholds is mostly noise, and a
sum of drawn ones is smooth: of a season of 3 points in losses of mean 0.1 it leaves a sixth less. Thresholds are drawn
among the ranks of a column, so that it does not matter how its values are spread.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.tree import ExtraTreeRegressor

from services.training.dataset import Dataset
from services.training.evaluation import Losses, Outputs
from services.training.reference import LARGEST_CATEGORY_LIST, rounded

Features = npt.NDArray[np.float32]  # [n, columns]
Tree = list[list[Any]]
FEWEST_ROWS = 200
_MOST_TREES = 40
_RATE = 0.15
_LEAVES = 3
_LEAF_SHARE = 0.1
_FOLDS = 4
_LEAST_SHARE = 0.02
# Residuals of records on which more than so many times the mean is expected weigh less: losses vary more there.
_CAP_TIMES = 1.25
_LEAST_CAP = 0.02
# A category counts like the mean of all until it has been seen so often.
_PRIOR_ROWS = 20.0


def expected_loss(rows: Dataset, outputs: Outputs, losses: Losses) -> dict[str, Any] | None:
    """Of losses [n], bounded to [0, 1], and outputs [n, K] on these rows. None: too few rows, or all lost the same."""
    if len(rows) < FEWEST_ROWS or not np.isfinite(losses).all() or float(np.ptp(losses)) == 0.0:
        return None
    base = float(losses.mean())
    encoded, columns = encoded_categories(rows, losses, base)
    features = np.column_stack([rows.numbers, encoded, outputs]).astype(np.float32)
    ranks = _ranks(features)
    shares = _shares(ranks, losses)
    named = [{"input": name} for name in rows.number_names]
    said = [{"output": place} for place in range(outputs.shape[1])]
    trees = [
        _nodes(tree.tree_, features, ranks, _RATE * share)
        for tree, share in zip(_boosted(ranks, losses - base, len(shares)), shares, strict=True)
    ]
    return {
        "base": rounded(base),
        "cap": rounded(min(1.0, max(_LEAST_CAP, _CAP_TIMES * base))),
        **_used([*named, *columns, *said], trees),
    }


def _used(columns: Sequence[dict[str, Any]], trees: Sequence[Tree]) -> dict[str, Any]:
    """The columns that a tree asks for, and the trees with their new places."""
    asked = sorted({node[0] for tree in trees for node in tree if node[2] != -1})
    places = {column: place for place, column in enumerate(asked)}
    return {
        "columns": [columns[column] for column in asked],
        "trees": [[[places.get(node[0], 0), *node[1:]] for node in tree] for tree in trees],
    }


def _ranks(features: Features) -> Features:
    """Of each column the share of values below, those that are equal counting half; NaN stays NaN."""
    ranks = np.full(features.shape, np.nan, dtype=np.float32)
    for column in range(features.shape[1]):
        known = ~np.isnan(features[:, column])
        values = features[known, column]
        ordered = np.sort(values)
        places = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
        ranks[known, column] = places / (2.0 * max(1, len(values)))
    return ranks


def _boosted(ranks: Features, left_over: Losses, count: int) -> list[ExtraTreeRegressor]:
    least, trees = int(_LEAF_SHARE * len(ranks)), list[ExtraTreeRegressor]()
    for number in range(count):
        tree = ExtraTreeRegressor(max_leaf_nodes=_LEAVES, min_samples_leaf=least, max_features=1.0, random_state=number)
        tree.fit(ranks, left_over)
        left_over = left_over - _RATE * tree.predict(ranks)
        trees.append(tree)
    return trees


def _shares(ranks: Features, losses: Losses) -> list[float]:
    """What each tree counts, falling from the first to the last; those that count for nothing are left out.

    Which number of trees does best is a matter of chance, so all of them count, each by its likelihood on the rows that
    it has not seen (pseudo-BMA: Yao, Vehtari, Simpson and Gelman 2018): a tree counts as much as the numbers that
    include it.
    """
    errors = np.zeros(_MOST_TREES + 1)
    for fold in np.array_split(np.arange(len(losses)), _FOLDS):
        others = np.ones(len(losses), dtype=bool)
        others[fold] = False
        base = losses[others].mean()
        off = losses[fold] - base
        errors[0] += float(off @ off)
        for number, tree in enumerate(_boosted(ranks[others], losses[others] - base, _MOST_TREES), start=1):
            off = off - _RATE * tree.predict(ranks[fold])
            errors[number] += float(off @ off)
    best = max(float(errors.min()), float(np.finfo(np.float64).tiny))
    likely = np.exp(-(errors - best) / best * (len(losses) / 2.0))
    shares = np.cumsum(likely[::-1])[::-1][1:] / likely.sum()
    return [float(share) for share in shares if share >= _LEAST_SHARE]


def _nodes(tree: Any, features: Features, ranks: Features, scale: float) -> Tree:
    thresholds = [_threshold(tree, i, features, ranks) for i in range(tree.node_count)]
    return nodes(tree, [rounded(scale * float(value)) for value in tree.value[:, 0, 0]], thresholds)


def nodes(tree: Any, values: Sequence[float], thresholds: Sequence[float] | None = None) -> Tree:
    """A fitted tree as JSON, with these values instead of its own, one a node; thresholds too, if they are given."""
    limits = tree.threshold if thresholds is None else thresholds
    return [
        [
            max(0, int(tree.feature[i])), float(limits[i]), int(tree.children_left[i]), int(tree.children_right[i]),
            bool(tree.missing_go_to_left[i]), values[i],
        ]
        for i in range(tree.node_count)
    ]  # fmt: skip


def _threshold(tree: Any, node: int, features: Features, ranks: Features) -> float:
    """Half-way between the values on both sides of a threshold of ranks; of a leaf, 0."""
    if tree.children_left[node] == -1:
        return 0.0
    values, places = features[:, tree.feature[node]].astype(np.float64), ranks[:, tree.feature[node]]
    left, right = places <= tree.threshold[node], places > tree.threshold[node]
    if not right.any():  # only what is missing goes there
        return float(values[left].max())
    if not left.any():
        return math.nextafter(float(values[right].min()), -math.inf)
    return float(values[left].max()) / 2.0 + float(values[right].min()) / 2.0


def encoded_categories(
    rows: Dataset, losses: Losses, base: float
) -> tuple[npt.NDArray[np.float64], list[dict[str, Any]]]:
    """Each of the most frequent categories as its mean loss, drawn towards that of all, the others as that of all; a
    missing one stays missing."""
    encoded, columns = np.empty(rows.categories.shape), list[dict[str, Any]]()
    for place, name in enumerate(rows.category_names):
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for category, loss in zip(rows.categories[:, place].tolist(), losses.tolist(), strict=True):
            sums[category][0] += 1.0
            sums[category][1] += loss
        sums.pop("", None)
        frequent = sorted(sums.items(), key=lambda entry: (-entry[1][0], entry[0]))[:LARGEST_CATEGORY_LIST]
        means = {
            category: rounded((total + _PRIOR_ROWS * base) / (count + _PRIOR_ROWS))
            for category, (count, total) in sorted(frequent)
        }
        other = rounded(base)
        encoded[:, place] = [means.get(known, other) if known else np.nan for known in rows.categories[:, place]]
        columns.append({"input": name, "means": means, "other": other})
    return encoded, columns
