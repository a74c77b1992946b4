"""The model families of each task: what is searched, how inputs are prepared, and how an estimator is fitted.

Preparation is part of the model and travels into its artifact. Trees take numbers as they are (scaling would flip
thresholds) and categories as ranks; linear models take imputed, standardised numbers and dense one-hot categories.
"""

from __future__ import annotations

import math
import warnings
import zlib
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from services.training.category_encoding import EncodingStyle
from services.training.dataset import Task

Family: TypeAlias = Literal["hist_gradient_boosting", "logistic_regression", "ridge"]
Parameters: TypeAlias = dict[str, Any]
# A fitted scikit-learn estimator over the dense matrix [n, width] that the category encoding completes (untyped there).
Estimator: TypeAlias = Any
Matrix: TypeAlias = npt.NDArray[np.float32]

FAMILIES: dict[Task, tuple[Family, ...]] = {
    "binary": ("hist_gradient_boosting", "logistic_regression"),
    "multiclass": ("hist_gradient_boosting", "logistic_regression"),
    "regression": ("hist_gradient_boosting", "ridge"),
}
# A deviation below it counts as none: its reciprocal, which ONNX multiplies with, does not fit into float32.
SMALLEST_SCALE = 1e-30
ENCODING: dict[Family, EncodingStyle] = {
    "hist_gradient_boosting": "ordinal",
    "logistic_regression": "one_hot",
    "ridge": "one_hot",
}


class UnknownFamily(ValueError):
    """A family that does not exist, or not for this task."""

    def __init__(self, name: str, task: Task) -> None:
        known = ", ".join((*FAMILIES[task], "linear"))
        super().__init__(f"family {name!r} is not available for task {task}. Choose from: {known}.")


def family_named(name: str, task: Task) -> Family:
    """The family of this name; `linear` is the task's linear one. Raises UnknownFamily."""
    if name == "linear":
        return FAMILIES[task][1]
    if name in FAMILIES[task]:
        return name
    raise UnknownFamily(name, task)


def sample_parameters(family: Family, task: Task, *, seed: int, trial: int) -> Parameters:
    """The parameters of one trial, from (family, seed, trial) alone; trial 0 is the family's default.

    Trees: learning_rate log-uniform in [.03, .3], max_iter {60, 100, 150}, max_leaf_nodes {7, 15, 31, 63},
    min_samples_leaf {5, 10, 20, 50}, l2_regularization {0, .1, 1, 10}, and for regression loss {squared_error,
    absolute_error}. Logistic regression: C log-uniform in [.001, 100]. Ridge: alpha log-uniform in [.001, 1000].
    """
    draw = np.random.default_rng([seed, trial, zlib.crc32(family.encode())])
    if family == "logistic_regression":
        return {"C": 1.0 if trial == 0 else _log_uniform(draw, 1e-3, 1e2)}
    if family == "ridge":
        return {"alpha": 1.0 if trial == 0 else _log_uniform(draw, 1e-3, 1e3)}
    if trial == 0:
        trees: Parameters = {"learning_rate": 0.1, "max_iter": 100, "max_leaf_nodes": 31, "min_samples_leaf": 20}
        trees["l2_regularization"] = 0.0
        return {**trees, "loss": "squared_error"} if task == "regression" else trees
    trees = {
        "learning_rate": _log_uniform(draw, 0.03, 0.3),
        "max_iter": int(draw.choice([60, 100, 150])),
        "max_leaf_nodes": int(draw.choice([7, 15, 31, 63])),
        "min_samples_leaf": int(draw.choice([5, 10, 20, 50])),
        "l2_regularization": float(draw.choice([0.0, 0.1, 1.0, 10.0])),
    }
    return {**trees, "loss": str(draw.choice(["squared_error", "absolute_error"]))} if task == "regression" else trees


def fit_estimator(
    family: Family, task: Task, parameters: Parameters, seed: int, features: Matrix, target: npt.NDArray[Any]
) -> Estimator:
    """An estimator fitted to features [n, width] and a target [n] (class positions, or values)."""
    if family == "hist_gradient_boosting":
        return _fit_trees(task, parameters, seed, features, target)
    imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(features)
    _round_to_float32(imputer, "statistics_")
    imputed = imputer.transform(features)
    scaler: Any = StandardScaler().fit(imputed)
    # Rounded before the model is fitted on what they yield: ONNX subtracts in float32, and the difference of two close
    # numbers is only exact when both sides subtract the same mean.
    _round_to_float32(scaler, "mean_", "scale_")
    scaler.scale_ = np.where(scaler.scale_ < SMALLEST_SCALE, 1.0, scaler.scale_)
    if family == "ridge":
        linear = Ridge(**parameters)
    else:
        linear = LogisticRegression(**parameters, max_iter=500, random_state=seed)
    with warnings.catch_warnings():
        # A fit that did not converge is judged by its held-back loss like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        linear.fit(scaler.transform(imputed), target)
    return Pipeline([("impute", imputer), ("scale", scaler), ("linear", linear)])


def _fit_trees(task: Task, parameters: Parameters, seed: int, features: Matrix, target: npt.NDArray[Any]) -> Estimator:
    kind: Any = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    # Binning fails on a column without a single value; constant, it is never split on, so the model ignores it as well.
    known = features.copy()
    known[:, np.isnan(features).all(axis=0)] = 0.0
    trees = kind(**parameters, early_stopping=False, random_state=seed).fit(known, target)
    for iteration in trees._predictors:
        for tree in iteration:
            tree.nodes["num_threshold"] = _largest_float32_not_above(tree.nodes["num_threshold"])
    return trees


def _largest_float32_not_above(thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """For float32 x, x <= t and x <= this are the same; rounding to nearest is not, where values are neighbours."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _round_to_float32(estimator: Any, *attributes: str) -> None:
    for name in attributes:
        values = getattr(estimator, name)
        setattr(estimator, name, values.astype(np.float32).astype(values.dtype))


def _log_uniform(draw: np.random.Generator, low: float, high: float) -> float:
    return float(f"{math.exp(draw.uniform(math.log(low), math.log(high))):.4g}")
