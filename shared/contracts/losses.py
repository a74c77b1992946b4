"""What a prediction cost once its label is known: bounded losses to decide with, raw figures to show.

The monitors and the judge need losses in [0, 1] (`bounded_loss`); a reader of a dashboard wants accuracy, nats or the
label's own unit (`report_metric`). An output that is no prediction is named as such and never becomes a number.

Outputs: binary `[p1]`; multiclass `[p_1 .. p_K]` in the order of `classes`; regression `[value]`.
Labels: binary 0/1 (or True/False, or one of two `classes`, the second being the positive); multiclass one of
`classes`; regression a finite number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from shared.contracts.definitions import Model
from shared.contracts.identity import canonical_text

Task = Literal["binary", "multiclass", "regression"]
Label = str | int | float | bool | None

BOUNDED_METRICS: dict[str, tuple[str, ...]] = {
    "binary": ("log_loss", "zero_one", "brier"),
    "multiclass": ("log_loss", "zero_one", "brier"),
    "regression": ("absolute_error",),
}
REPORT_METRICS: dict[str, tuple[str, ...]] = {
    "binary": ("accuracy", "log_loss", "zero_one", "brier"),
    "multiclass": ("accuracy", "log_loss", "zero_one", "brier"),
    "regression": ("absolute_error", "squared_error"),
}
# float32 softmax outputs do not add up to one exactly.
_SUM_TOLERANCE = 1e-3
_PROBABILITY_TOLERANCE = 1e-6
_BEYOND = 10**308


class Invalid(StrEnum):
    """Why an output and its label give no loss."""

    MISSING_OUTPUT = "missing_output"
    WRONG_LENGTH = "wrong_length"
    NOT_FINITE = "not_finite"
    NOT_A_PROBABILITY = "not_a_probability"
    MISSING_LABEL = "missing_label"
    UNKNOWN_LABEL = "unknown_label"


@dataclass(frozen=True, slots=True)
class LossSpec:
    """What the Model definition's `monitor` says about losses.

    task: binary, multiclass or regression. metric: the bounded loss. clip: probabilities of the true class are clipped
    to [clip, 1 - clip] for log loss. scale: the absolute error, in the label's unit, that counts as a loss of 1.
    classes: the labels of a multiclass model, or (negative, positive) of a binary one; empty for 0/1.
    """

    task: Task
    metric: str
    clip: float = 0.01
    scale: float | None = None
    classes: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        if self.metric not in BOUNDED_METRICS.get(self.task, ()):
            known = ", ".join(BOUNDED_METRICS.get(self.task, ()))
            raise ValueError(
                f"metric {self.metric!r} is no bounded loss of a {self.task} model; choose one of: {known}"
            )
        if not 0.0 < self.clip < 0.5:
            raise ValueError(f"clip is {self.clip}; log loss needs a value above 0 and below 0.5, such as 0.01")
        if self.metric == "absolute_error" and not _is_positive(self.scale):
            raise ValueError(f"scale is {self.scale}; absolute_error needs the error that counts as 1, above 0")
        if self.task == "multiclass" and len(self.classes) < 2:
            raise ValueError("classes are missing; a multiclass model needs at least two, in the order of its outputs")
        if self.task == "binary" and len(self.classes) not in (0, 2):
            raise ValueError(f"a binary model has {len(self.classes)} classes; name two (negative, positive) or none")


def loss_spec(model: Model, classes: tuple[str, ...]) -> LossSpec | None:
    """How a version of the model is judged, whose outputs stand in the order of `classes` (empty: 0 and 1).

    None for several classes whose order nobody has told.
    """
    monitor = model.monitor
    return _loss_spec(model.task.value, model.metric.value, monitor.clip, monitor.scale, classes)


@lru_cache(maxsize=256)
def _loss_spec(task: Task, metric: str, clip: float, scale: float | None, classes: tuple[str, ...]) -> LossSpec | None:
    if task == "multiclass" and len(classes) < 2:
        return None
    kept = classes if task == "multiclass" or (task == "binary" and len(classes) == 2) else ()
    return LossSpec(task, metric, clip, scale, kept)


def bounded_loss(spec: LossSpec, output: Sequence[float | None] | None, label: Label) -> float | Invalid:
    """The loss in [0, 1] by `spec.metric`, or the reason why there is none.

    log_loss: -ln(p_true clipped to [clip, 1 - clip]) / ln(1 / clip). brier: (p1 - y)^2, or half the squared distance
    of a multiclass output from the one-hot label. zero_one: 1 for a wrong class (binary: p1 >= 0.5 means positive;
    multiclass: the first of the largest). absolute_error: min(|error|, scale) / scale.
    """
    value = _metric(spec, spec.metric, output, label)
    if isinstance(value, Invalid):
        return value
    if spec.metric == "log_loss":
        value /= math.log(1.0 / spec.clip)
    elif spec.metric == "absolute_error" and spec.scale is not None:
        value /= spec.scale
    return min(1.0, max(0.0, value))


def report_metric(spec: LossSpec, name: str, output: Sequence[float | None] | None, label: Label) -> float | Invalid:
    """A figure for people, in its own unit (log loss in nats, clipped as for deciding; errors in the label's unit).

    Raises ValueError for a metric that the task does not have.
    """
    if name not in REPORT_METRICS[spec.task]:
        known = ", ".join(REPORT_METRICS[spec.task])
        raise ValueError(f"metric {name!r} cannot be reported of a {spec.task} model; choose one of: {known}")
    return _metric(spec, name, output, label)


def _metric(spec: LossSpec, name: str, output: Sequence[float | None] | None, label: Label) -> float | Invalid:
    values = _output(spec, output)
    if isinstance(values, Invalid):
        return values
    if spec.task == "regression":
        return _regression_metric(name, values[0], label)
    truth = class_index(spec, label)
    if truth is Invalid.UNKNOWN_LABEL and spec.task == "multiclass":
        truth = None
    if isinstance(truth, Invalid):
        return truth
    probabilities = [1.0 - values[0], values[0]] if spec.task == "binary" else values
    return _class_metric(spec, name, probabilities, truth)


def _class_metric(spec: LossSpec, name: str, probabilities: list[float], truth: int | None) -> float:
    """`truth`: None for a class that the version does not know, to which it gave no probability."""
    if name == "log_loss":
        given = 0.0 if truth is None else probabilities[truth]
        return -math.log(min(1.0 - spec.clip, max(spec.clip, given)))
    if name == "brier":
        off = sum((p - (1.0 if k == truth else 0.0)) ** 2 for k, p in enumerate(probabilities))
        return (off + (1.0 if truth is None else 0.0)) / 2.0
    predicted = probabilities.index(max(probabilities))
    if spec.task == "binary":
        predicted = int(probabilities[1] >= 0.5)
    right = predicted == truth
    return float(right) if name == "accuracy" else float(not right)


def _regression_metric(name: str, value: float, label: Label) -> float | Invalid:
    if label is None:
        return Invalid.MISSING_LABEL
    # An integer beyond the largest double has no float; labels end where doubles do.
    if isinstance(label, str) or not -_BEYOND < label < _BEYOND:
        return Invalid.UNKNOWN_LABEL
    error = abs(value - float(label))
    # Two finite doubles can still be further apart than a double can say.
    if not math.isfinite(error) or (name == "squared_error" and error > 1e150):
        return Invalid.NOT_FINITE
    return error if name == "absolute_error" else error * error


def _output(spec: LossSpec, output: Sequence[float | None] | None) -> list[float] | Invalid:
    if output is None or any(value is None for value in output):
        return Invalid.MISSING_OUTPUT
    if len(output) != (len(spec.classes) if spec.task == "multiclass" else 1):
        return Invalid.WRONG_LENGTH
    values = [float(value) for value in output if value is not None]
    if not all(map(math.isfinite, values)):
        return Invalid.NOT_FINITE
    if spec.task == "regression":
        return values
    if any(not -_PROBABILITY_TOLERANCE <= value <= 1.0 + _PROBABILITY_TOLERANCE for value in values):
        return Invalid.NOT_A_PROBABILITY
    if spec.task == "multiclass" and abs(sum(values) - 1.0) > _SUM_TOLERANCE:
        return Invalid.NOT_A_PROBABILITY
    return [min(1.0, max(0.0, value)) for value in values]


def class_index(spec: LossSpec, label: Label) -> int | Invalid:
    """The place of a label among the classes, or why it has none."""
    if label is None:
        return Invalid.MISSING_LABEL
    classes: tuple[Label, ...] = spec.classes or (0, 1)
    # Classes are named as texts, whatever the label field's type: 3, 3.0 and "3" are one class.
    label = canonical_text(label) if spec.classes else label
    return classes.index(label) if label in classes else Invalid.UNKNOWN_LABEL


def _is_positive(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0.0
