"""How good the answers were that went out: a figure for each outcome, its mean, and its mean by tenth of the stream.

They are the figures of the time. What labels that were corrected since make of the mean stands beside it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

from shared.contracts.definitions import Model
from shared.contracts.losses import Invalid, loss_spec, report_metric

TENTHS = 10


def figure(model: Model, classes: Sequence[str], output: Sequence[float], label: float | str | None) -> float | None:
    """The model's first reported metric of one answer; None if answer or label allow no figure.

    `classes`: the labels in the order of the outputs, empty for 0 and 1.
    """
    spec = loss_spec(model, tuple(classes))
    value = None if spec is None else report_metric(spec, model.reported[0].value, output, label)
    return None if isinstance(value, Invalid) else value


class AnswerFigures:
    """One figure for each matured outcome, NaN where no answer went out or no label came: 24 bytes an outcome.

    And 16 for each corrected label: the figure by the old one, and by the new.
    """

    def __init__(self) -> None:
        self._times = array("q")
        self._tie_breaks = array("Q")
        self._figures = array("d")
        self._before = array("d")
        self._after = array("d")

    def add(self, time_ms: int, record_id: str, value: float | None) -> None:
        self._times.append(time_ms)
        self._tie_breaks.append(crc32(record_id.encode()))
        self._figures.append(math.nan if value is None else value)

    def correct(self, before: float | None, after: float | None) -> None:
        """An outcome's label is another one."""
        self._before.append(math.nan if before is None else before)
        self._after.append(math.nan if after is None else after)

    @property
    def revised_mean(self) -> float | None:
        """As `mean`, by the labels of now; a record's corrections add up to the last one."""
        known, after = _known(self._figures), _known(self._after)
        out = [-value for value in _known(self._before)]
        count = len(known) + len(after) - len(out)
        return math.fsum((*known, *after, *out)) / count if count > 0 else None

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
    known = _known(values)
    return math.fsum(known) / len(known) if known else None


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]
