"""What a model could still learn from its matured outcomes: a linear correction of its output, learnt as they come.

The corrected output is sigma(logit p + w f) for two classes, softmax(log p_k + w_k f) for several, value + scale w f
for a number; f are the inputs, each standardised by its running mean and deviation, one column for each category, the
model's own output, and a constant. Before each outcome moves w, the correction answers it, so its losses are
prequential: figures on outcomes that it has not seen. w starts at 0, where it corrects nothing.

A step is that of normalised least mean squares (Nagumo and Noda 1967): RATE * error * f / |f|^2, with the gradient of
log loss, or of Huber's loss, as the error. It is no model to answer with; it tells that there is something to learn,
and what not having learnt it has cost (`missed_saving`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import mul
from typing import Any, NamedTuple

from shared.contracts.losses import Invalid, LossSpec, class_index

RATE = 1 / 16
# Moments forget what is further back than so many outcomes.
MEMORY = 2_000
MOST_CATEGORIES = 64  # of one input; the others share a column
_LARGEST = 3.0  # standard deviations that count
_HUBER = 0.25  # errors beyond it, as a share of the scale, count alike
_OTHER = "\x1fother"
_CERTAIN = 0.01
_BEYOND = 3.4e38  # what a float32 holds

Floats = tuple[float, ...]
Inputs = Mapping[str, Any]


class Correction(NamedTuple):
    """weights [outputs, columns]. The columns: the constant, `names` with their means and variances, `categories`."""

    weights: tuple[Floats, ...] = ()
    names: tuple[str, ...] = ()
    means: Floats = ()
    variances: Floats = ()
    categories: tuple[tuple[str, str], ...] = ()
    seen: int = 0

    def to_json(self) -> dict[str, Any]:
        """The state as a plain dict of JSON values."""
        return self._asdict()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Correction:
        """The state that `to_json` wrote."""
        return cls(
            tuple(tuple(row) for row in data["weights"]),
            tuple(data["names"]),
            tuple(data["means"]),
            tuple(data["variances"]),
            tuple((name, category) for name, category in data["categories"]),
            data["seen"],
        )


def learn(
    state: Correction, spec: LossSpec, inputs: Inputs, output: Sequence[float], label: Any
) -> tuple[Correction, list[float]]:
    """The corrected output of this outcome, and the correction after it. The output and the label must give a loss."""
    own = _own(spec, output)
    state = _widened(state, inputs, len(own))
    values = [*own, *(_number(inputs.get(name)) for name in state.names[len(own) :])]
    features = _features(state, values, inputs)
    moved = [_dot(row, features) for row in state.weights]
    corrected, errors = _corrected(spec, output, own, moved, label)
    step = RATE / sum(map(mul, features, features))
    weights = tuple(
        tuple([w - step * error * f for w, f in zip(row, features, strict=True)]) if error else row
        for row, error in zip(state.weights, errors, strict=True)
    )
    return _seen(state._replace(weights=weights), values), corrected


def _own(spec: LossSpec, output: Sequence[float]) -> list[float]:
    """The model's output in the terms that are corrected."""
    if spec.task == "regression":
        return [output[0] / (spec.scale or 1.0)]
    likely = [min(1.0 - _CERTAIN, max(_CERTAIN, p)) for p in output]
    return [math.log(likely[0] / (1.0 - likely[0]))] if spec.task == "binary" else [math.log(p) for p in likely]


def _widened(state: Correction, inputs: Inputs, outputs: int) -> Correction:
    """With columns for what comes for the first time; their weights are 0."""
    if not state.weights:
        state = Correction(((0.0,) * (1 + outputs),) * outputs, ("",) * outputs, (0.0,) * outputs, (0.0,) * outputs)
    known = set(state.names)
    for name, value in inputs.items():
        if isinstance(value, str):
            state = _with_category(state, name, value)
        elif value is not None and name not in known:
            place = 1 + len(state.names)
            state = state._replace(
                names=(*state.names, name),
                means=(*state.means, _number(value)),
                variances=(*state.variances, 0.0),
                weights=tuple((*row[:place], 0.0, *row[place:]) for row in state.weights),
            )
    return state


def _with_category(state: Correction, name: str, value: str) -> Correction:
    if (name, value) in state.categories or (name, _OTHER) in state.categories:
        return state
    full = sum(known == name for known, _ in state.categories) >= MOST_CATEGORIES
    column = (name, _OTHER if full else value)
    return state._replace(categories=(*state.categories, column), weights=tuple((*row, 0.0) for row in state.weights))


def _features(state: Correction, values: Sequence[float], inputs: Inputs) -> list[float]:
    features = [1.0]
    for value, mean, variance in zip(values, state.means, state.variances, strict=True):
        if value == value and variance > 0.0:
            features.append(min(_LARGEST, max(-_LARGEST, (value - mean) / math.sqrt(variance))))
        else:
            features.append(0.0)  # what is missing, or has never varied, says nothing
    known = dict.fromkeys(state.categories, 0.0)
    for name, value in inputs.items():
        if isinstance(value, str):
            known[(name, value) if (name, value) in known else (name, _OTHER)] = 1.0
    return [*features, *known.values()]


def _corrected(
    spec: LossSpec, output: Sequence[float], own: Sequence[float], moved: Sequence[float], label: Any
) -> tuple[list[float], list[float]]:
    """The corrected output, and the gradient of its loss by each of what was moved."""
    if spec.task == "regression":
        scale = spec.scale or 1.0
        value = output[0] + scale * moved[0]
        error = (value - float(label)) / scale
        return [value], [_HUBER * min(_HUBER, max(-_HUBER, error))]
    found = class_index(spec, label)
    truth = -1 if isinstance(found, Invalid) else found  # a class that the version does not know
    if spec.task == "binary":
        p = 1.0 / (1.0 + math.exp(-min(30.0, max(-30.0, own[0] + moved[0]))))
        return [p], [p - truth]
    raised = [base + by for base, by in zip(own, moved, strict=True)]
    largest = max(raised)
    powers = [math.exp(value - largest) for value in raised]
    total = sum(powers)
    likely = [power / total for power in powers]
    return likely, [p - (k == truth) for k, p in enumerate(likely)]


def _seen(state: Correction, values: Sequence[float]) -> Correction:
    seen = state.seen + 1
    weight = max(1.0 / seen, 1.0 / MEMORY)
    means, variances = list(state.means), list(state.variances)
    for i, value in enumerate(values):
        if value == value:
            off = value - means[i]
            means[i] += weight * off
            variances[i] = (1.0 - weight) * (variances[i] + weight * off * off)
    return state._replace(means=tuple(means), variances=tuple(variances), seen=seen)


def _number(value: Any) -> float:
    """NaN for what is no number that a model sees."""
    return float(value) if isinstance(value, int | float) and -_BEYOND < value < _BEYOND else math.nan


def _dot(weights: Sequence[float], features: Sequence[float]) -> float:
    return sum(map(mul, weights, features))
