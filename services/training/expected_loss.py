"""The expected loss of a version, fitted on rows that its own fit has not seen; the format is that of
`shared/contracts/expected_loss.py`.

Least-squares gradient boosting (Friedman 2001) with small trees, as many as do best on rows that they have not seen
(contiguous folds, for neighbouring rows hang together), none at all if that is best: what it is to find is a season or
a region where the model is worse, and what it takes for one of these without being one costs the monitor sharpness.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.tree import DecisionTreeRegressor

from services.training.dataset import Dataset
from services.training.evaluation import Losses, Outputs
from services.training.reference import LARGEST_CATEGORY_LIST, rounded

Features = npt.NDArray[np.float32]  # [n, columns]
FEWEST_ROWS = 200
_MOST_TREES = 40
_RATE = 0.1
_LEAVES = 3
_LEAF_SHARE = 0.1
_FOLDS = 4
# Residuals of records on which more than so many times the mean is expected weigh less.
_CAP_TIMES = 2.0
_LEAST_CAP = 0.02
# A category counts like the mean of all until it has been seen so often.
_PRIOR_ROWS = 20.0


def expected_loss(rows: Dataset, outputs: Outputs, losses: Losses) -> dict[str, Any] | None:
    """Of losses [n], bounded to [0, 1], and outputs [n, K] on these rows. None: too few rows, or all lost the same."""
    if len(rows) < FEWEST_ROWS or not np.isfinite(losses).all() or float(np.ptp(losses)) == 0.0:
        return None
    base = float(losses.mean())
    encoded, columns = _categories(rows, losses, base)
    features = np.column_stack([rows.numbers, encoded, outputs]).astype(np.float32)
    named = [{"input": name} for name in rows.number_names]
    said = [{"output": place} for place in range(outputs.shape[1])]
    boosted = _boosted(features, losses - base, _best_count(features, losses))
    used = sorted({int(column) for tree in boosted for column in tree.tree_.feature if column >= 0})
    every = [*named, *columns, *said]
    return {
        "base": rounded(base),
        "cap": rounded(min(1.0, max(_LEAST_CAP, _CAP_TIMES * base))),
        "columns": [every[column] for column in used],
        "trees": [_nodes(tree.tree_, {column: place for place, column in enumerate(used)}) for tree in boosted],
    }


def _boosted(features: Features, left_over: Losses, count: int) -> list[DecisionTreeRegressor]:
    least, trees = int(_LEAF_SHARE * len(features)), list[DecisionTreeRegressor]()
    for _ in range(count):
        tree = DecisionTreeRegressor(max_leaf_nodes=_LEAVES, min_samples_leaf=least, random_state=0)
        tree.fit(features, left_over)
        left_over = left_over - _RATE * tree.predict(features)
        trees.append(tree)
    return trees


def _best_count(features: Features, losses: Losses) -> int:
    errors = np.zeros(_MOST_TREES + 1)
    for fold in np.array_split(np.arange(len(losses)), _FOLDS):
        others = np.ones(len(losses), dtype=bool)
        others[fold] = False
        base = losses[others].mean()
        off = losses[fold] - base
        errors[0] += float(off @ off)
        for number, tree in enumerate(_boosted(features[others], losses[others] - base, _MOST_TREES), start=1):
            off = off - _RATE * tree.predict(features[fold])
            errors[number] += float(off @ off)
    return int(errors.argmin())


def _nodes(tree: Any, places: Mapping[int, int]) -> list[list[Any]]:
    return [
        [
            places.get(int(tree.feature[i]), 0), float(tree.threshold[i]), int(tree.children_left[i]),
            int(tree.children_right[i]), bool(tree.missing_go_to_left[i]), rounded(_RATE * float(tree.value[i, 0, 0])),
        ]
        for i in range(tree.node_count)
    ]  # fmt: skip


def _categories(rows: Dataset, losses: Losses, base: float) -> tuple[npt.NDArray[np.float64], list[dict[str, Any]]]:
    """Each of the most frequent categories as its mean loss, drawn towards that of all, the others as that of all; a
    missing one stays missing."""
    encoded, columns = np.empty(rows.categories.shape), list[dict[str, Any]]()
    for place, name in enumerate(rows.category_names):
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for category, loss in zip(rows.categories[:, place].tolist(), losses.tolist(), strict=True):
            sums[category][0] += 1.0
            sums[category][1] += loss
        sums.pop("", None)
        listed = sorted(sums.items(), key=lambda entry: (-entry[1][0], entry[0]))[:LARGEST_CATEGORY_LIST]
        means = {
            category: rounded((total + _PRIOR_ROWS * base) / (count + _PRIOR_ROWS))
            for category, (count, total) in sorted(listed)
        }
        other = rounded(base)
        encoded[:, place] = [means.get(c, other) if c else np.nan for c in rows.categories[:, place].tolist()]
        columns.append({"input": name, "means": means, "other": other})
    return encoded, columns
