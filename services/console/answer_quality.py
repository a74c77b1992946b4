"""How good the answers were that went out: a figure for each outcome, its mean, and its mean by tenth of the stream.

Figures as people read them, in their own unit: log loss in nats with the probability of the truth clipped to
[clip, 1 - clip]; the Brier score as (p1 - y)^2, for several classes half the squared distance; errors in the label's
unit.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

from shared.contracts.definitions import Metric, Model, Task

TENTHS = 10


def figure(model: Model, classes: Sequence[str], output: Sequence[float], label: float | str | None) -> float | None:
    """The model's first reported metric of one answer; None if answer or label allow no figure.

    `classes`: the labels in the order of the outputs, empty for 0 and 1.
    """
    metric = model.reported[0]
    if label is None or not output or not all(map(math.isfinite, output)):
        return None
    if model.task is Task.REGRESSION:
        if isinstance(label, str):
            return None
        error = abs(output[0] - label)
        return error * error if metric is Metric.SQUARED_ERROR else error
    known: tuple[float | str, ...] = tuple(classes) or (0.0, 1.0)
    probabilities = [1.0 - output[0], output[0]] if model.task is Task.BINARY else list(output)
    if label not in known or len(probabilities) != len(known):
        return None
    return _class_figure(metric, model.monitor.clip, probabilities, known.index(label))


def _class_figure(metric: Metric, clip: float, probabilities: list[float], truth: int) -> float:
    if metric is Metric.LOG_LOSS:
        return -math.log(min(1.0 - clip, max(clip, probabilities[truth])))
    if metric is Metric.BRIER:
        return sum((p - (k == truth)) ** 2 for k, p in enumerate(probabilities)) / 2.0
    # With two classes a probability of one half counts as the second one.
    highest = max(probabilities)
    said = int(probabilities[1] >= 0.5) if len(probabilities) == 2 else probabilities.index(highest)
    return float(said == truth) if metric is Metric.ACCURACY else float(said != truth)


class AnswerFigures:
    """One figure for each matured outcome, NaN where no answer went out or no label came: 24 bytes an outcome."""

    def __init__(self) -> None:
        self._times = array("q")
        self._tie_breaks = array("Q")
        self._figures = array("d")

    def add(self, time_ms: int, record_id: str, value: float | None) -> None:
        self._times.append(time_ms)
        self._tie_breaks.append(crc32(record_id.encode()))
        self._figures.append(math.nan if value is None else value)

    @property
    def mean(self) -> float | None:
        """Over all answers that have a figure; exact, so that the order in which they came does not matter."""
        return _mean(self._figures)

    @property
    def known(self) -> int:
        return sum(not math.isnan(value) for value in self._figures)

    def by_tenth(self) -> list[float | None]:
        """The mean of each tenth of the outcomes in the order of event time; None where a tenth has no figure."""
        count = len(self._figures)
        order = sorted(range(count), key=lambda i: (self._times[i], self._tie_breaks[i]))
        cuts = [tenth * count // TENTHS for tenth in range(TENTHS + 1)]
        return [_mean([self._figures[i] for i in order[start:end]]) for start, end in pairwise(cuts)]


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else None
