from __future__ import annotations

import math
from typing import Any

import pytest

from services.console.answer_quality import AnswerFigures, figure
from tests import builders as b


def _model(metric: str, **over: Any):
    return b.model(monitor={"report": [metric], "clip": 0.01}, **over)


def _regression(metric: str):
    return b.model(task="regression", monitor={"report": [metric], "scale": 200})


@pytest.mark.parametrize(
    ("metric", "output", "label", "expected"),
    [
        ("accuracy", 0.9, 1.0, 1.0),
        ("accuracy", 0.9, 0.0, 0.0),
        ("accuracy", 0.5, 1.0, 1.0),
        ("zero_one", 0.4, 1.0, 1.0),
        ("brier", 0.8, 1.0, 0.04),
        ("log_loss", 0.8, 1.0, -math.log(0.8)),
        ("log_loss", 1.0, 0.0, -math.log(0.01)),
    ],
)
def test_binary_figures(metric: str, output: float, label: float, expected: float) -> None:
    assert figure(_model(metric), (), [output], label) == pytest.approx(expected)


def test_regression_figures() -> None:
    assert figure(_regression("absolute_error"), (), [12.0], 9.0) == 3.0
    assert figure(_regression("squared_error"), (), [12.0], 9.0) == 9.0


def test_several_classes_in_the_order_of_the_outputs() -> None:
    model = _model("accuracy", task="multiclass")
    assert figure(model, ("a", "b", "c"), [0.2, 0.3, 0.5], "c") == 1.0
    assert figure(model, ("a", "b", "c"), [0.2, 0.3, 0.5], "b") == 0.0


@pytest.mark.parametrize(
    ("classes", "output", "label"),
    [((), [0.9], None), ((), [math.nan], 1.0), ((), [], 1.0), (("a", "b", "c"), [0.5, 0.5], "a"), ((), [0.9], "x")],
)
def test_what_allows_no_figure(classes: tuple[str, ...], output: list[float], label: float | str | None) -> None:
    task = "multiclass" if classes else "binary"
    assert figure(_model("accuracy", task=task), classes, output, label) is None


def test_tenths_follow_event_time_whatever_the_order_of_arrival() -> None:
    figures, others = AnswerFigures(), AnswerFigures()
    rows = [(time_ms, f"r{time_ms}", float(time_ms // 10)) for time_ms in range(100)]
    for row in rows:
        figures.add(*row)
    for row in reversed(rows):
        others.add(*row)
    assert figures.by_tenth() == others.by_tenth() == [float(n) for n in range(10)]
    assert figures.mean == others.mean == 4.5


def test_a_tenth_without_an_answer_has_no_quality() -> None:
    figures = AnswerFigures()
    for time_ms in range(20):
        figures.add(time_ms, "r", None if time_ms < 4 else 1.0)
    assert figures.by_tenth() == [None, None, *[1.0] * 8]
    assert figures.mean == 1.0


def test_nothing_yet() -> None:
    assert AnswerFigures().by_tenth() == [None] * 10
    assert AnswerFigures().mean is None
