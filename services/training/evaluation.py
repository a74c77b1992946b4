"""Losses, the constant baseline, and the paired comparison that the gate rests on.

Outputs are as an artifact gives them: [n, 1] (binary: probability of class 1; regression: the value) or [n, K]
(multiclass: probabilities in the order of `classes`). Targets are as Dataset.target holds them. An output that is not
finite gives a loss that is NaN, and NaN beats nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from services.training.block_error import block_error
from services.training.dataset import Task

Metric: TypeAlias = Literal["log_loss", "brier", "zero_one", "absolute_error", "squared_error"]
Outputs: TypeAlias = npt.NDArray[np.floating[Any]]
Losses: TypeAlias = npt.NDArray[np.float64]

METRICS: dict[Task, tuple[Metric, ...]] = {
    "binary": ("log_loss", "brier", "zero_one"),
    "multiclass": ("log_loss", "brier", "zero_one"),
    "regression": ("absolute_error", "squared_error"),
}


class NothingToEvaluate(ValueError):
    """No rows were given."""

    def __init__(self) -> None:
        super().__init__("there are no labelled rows to evaluate on. Wait until labels have matured.")


@dataclass(frozen=True, slots=True)
class Loss:
    """A metric with the constants that a definition gives it; lower is better.

    log_loss: -ln(probability of the true class, clipped to [clip, 1 - clip]), in nats. brier: half the squared distance
    from the one-hot label (binary: (p - y)^2). zero_one: 1 for a wrong class (binary: one half counts as class 1;
    multiclass: the first of the largest). absolute_error and squared_error in the label's unit. `scale`: the absolute
    error that counts as 1 when losses are bounded.
    """

    metric: Metric
    clip: float = 0.01
    scale: float | None = None

    def per_row(self, outputs: Outputs, target: npt.NDArray[Any], classes: Sequence[str] = ()) -> Losses:
        """Loss of each row [n], in the metric's own unit (log loss: nats). `classes` only for a multiclass task."""
        values: npt.NDArray[np.float64] = np.asarray(outputs, dtype=np.float64)
        if self.metric in ("absolute_error", "squared_error"):
            error = np.abs(values[:, 0] - target.astype(np.float64))
            return error if self.metric == "absolute_error" else error**2
        probabilities, positions = _probabilities(values, target, classes)
        if self.metric == "brier":
            return _brier(probabilities, positions)
        if self.metric == "zero_one":
            wrong = (np.argmax(probabilities, axis=1) != positions).astype(np.float64)
            return np.where(np.isfinite(probabilities).all(axis=1), wrong, np.nan)
        return -np.log(np.clip(_of_true_class(probabilities, positions), self.clip, 1.0 - self.clip))

    def bounded(self, losses: Losses) -> Losses:
        """Losses mapped into [0, 1] by the definition's constants; an error without a scale can't be: ValueError."""
        if self.metric == "log_loss":
            return losses / math.log(1.0 / self.clip)
        if self.metric in ("zero_one", "brier"):
            return losses
        if self.scale is None:
            raise ValueError(f"{self.metric} has no scale, so it has no bound. Give `monitor.scale` in the definition.")
        return np.minimum(losses / (self.scale if self.metric == "absolute_error" else self.scale**2), 1.0)


def default_loss(task: Task) -> Loss:
    """What a task is judged by when its definition names nothing else."""
    return Loss(METRICS[task][0])


def evaluate(
    outputs: Outputs, target: npt.NDArray[Any], task: Task, *, classes: Sequence[str] = (), clip: float = 0.01
) -> dict[str, float]:
    """Mean figures over the rows; classification: log_loss, brier, accuracy; regression: absolute_error and
    root_mean_squared_error. Raises NothingToEvaluate."""
    if len(target) == 0:
        raise NothingToEvaluate
    mean = {metric: float(Loss(metric, clip).per_row(outputs, target, classes).mean()) for metric in METRICS[task]}
    if task == "regression":
        return {
            "absolute_error": mean["absolute_error"],
            "root_mean_squared_error": math.sqrt(mean["squared_error"]),
        }
    return {"log_loss": mean["log_loss"], "brier": mean["brier"], "accuracy": 1.0 - mean["zero_one"]}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate beside the champion (for a first version: the constant predictor) on the same rows."""

    rows: int
    champion_loss: float
    candidate_loss: float
    mean_difference: float
    """Candidate less champion: negative is better."""
    standard_error: float
    """Of the mean difference, over `blocks` consecutive blocks of rows, for these hang together."""
    blocks: int | None = None
    """None: too few rows for blocks, so it is as if rows were independent; NaN with fewer than two."""

    @property
    def better(self) -> bool:
        """The candidate beats the champion. False without rows, and where any figure is not finite."""
        return self.rows > 0 and math.isfinite(self.mean_difference) and self.mean_difference < 0.0


def compare_losses(champion: Losses, candidate: Losses) -> Comparison:
    """Paired comparison of two models' losses [n] on the same rows in time order; ValueError if lengths differ."""
    if champion.shape != candidate.shape:
        raise ValueError(f"losses are not paired: {champion.shape} beside {candidate.shape}. Score the same rows.")
    rows = len(champion)
    if rows == 0:
        return Comparison(0, math.nan, math.nan, math.nan, math.nan)
    if not (np.isfinite(champion).all() and np.isfinite(candidate).all()):
        return Comparison(rows, float(champion.mean()), float(candidate.mean()), math.nan, math.nan)
    difference = candidate - champion
    error, blocks = block_error(difference) or (math.nan, None)
    if blocks is None and rows > 1:
        error = float(difference.std(ddof=1) / math.sqrt(rows))
    return Comparison(rows, float(champion.mean()), float(candidate.mean()), float(difference.mean()), error, blocks)


def compare(
    champion_outputs: Outputs,
    candidate_outputs: Outputs,
    target: npt.NDArray[Any],
    loss: Loss,
    *,
    champion_classes: Sequence[str] = (),
    candidate_classes: Sequence[str] = (),
) -> Comparison:
    """Paired comparison on the same rows, each model with the classes of its own manifest."""
    return compare_losses(
        loss.per_row(champion_outputs, target, champion_classes),
        loss.per_row(candidate_outputs, target, candidate_classes),
    )


@dataclass(frozen=True, slots=True)
class ConstantPredictor:
    """Answers every row alike: what the first version has to beat."""

    output: tuple[float, ...]
    classes: tuple[str, ...] = ()

    def outputs(self, rows: int) -> Outputs:
        """[rows, 1] or [rows, K]."""
        return np.tile(np.array(self.output, dtype=np.float64), (rows, 1))


def constant_predictor(target: npt.NDArray[Any], task: Task) -> ConstantPredictor:
    """Class frequencies, or the median, of these labels [n]. Raises NothingToEvaluate."""
    if len(target) == 0:
        raise NothingToEvaluate
    if task == "regression":
        return ConstantPredictor((float(np.median(target)),))
    if task == "binary":
        return ConstantPredictor((float(target.mean()),))
    counts = sorted(Counter(target.tolist()).items())
    return ConstantPredictor(tuple(count / len(target) for _, count in counts), tuple(name for name, _ in counts))


def class_positions(target: npt.NDArray[Any], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Position of each row's class [n]; -1 for one that the model does not know."""
    position = {name: index for index, name in enumerate(classes)}
    return np.array([position.get(name, -1) for name in target.tolist()], dtype=np.int64)


def _probabilities(
    outputs: npt.NDArray[np.float64], target: npt.NDArray[Any], classes: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    if classes:
        return outputs, class_positions(target, classes)
    # Class 1 first: argmax gives the first of two equal ones, and a probability of one half counts as class 1.
    return np.column_stack([outputs[:, 0], 1.0 - outputs[:, 0]]), 1 - target.astype(np.int64)


def _of_true_class(probabilities: npt.NDArray[np.float64], positions: npt.NDArray[np.int64]) -> Losses:
    of_known = probabilities[np.arange(len(positions)), np.maximum(positions, 0)]
    return np.where(positions >= 0, of_known, 0.0 * of_known)


def _brier(probabilities: npt.NDArray[np.float64], positions: npt.NDArray[np.int64]) -> Losses:
    # Half the squared distance from the one-hot label: of two classes this is (p - y)^2, and never above 1.
    true_class = _of_true_class(probabilities, positions)
    return (np.sum(probabilities**2, axis=1) - 2.0 * true_class + 1.0) / 2.0
