from __future__ import annotations

import math
from dataclasses import replace

import pytest

from shared.contracts.definitions import Metric, Task
from shared.contracts.losses import (
    BOUNDED_METRICS,
    Invalid,
    LossSpec,
    bounded_loss,
    report_metric,
)
from tests.builders import model

BINARY = LossSpec("binary", "log_loss", clip=0.01)
CLASSES = LossSpec("multiclass", "brier", classes=("a", "b", "c"))
REGRESSION = LossSpec("regression", "absolute_error", scale=200.0)


def test_log_loss_is_one_for_a_certain_and_wrong_answer_and_small_for_a_right_one() -> None:
    assert bounded_loss(BINARY, [0.0], 1) == pytest.approx(1.0)
    assert bounded_loss(BINARY, [1.0], 1) == pytest.approx(-math.log(0.99) / math.log(100))
    assert bounded_loss(BINARY, [0.3], 0) == pytest.approx(-math.log(0.7) / math.log(100))


@pytest.mark.parametrize("metric", ["log_loss", "zero_one", "brier"])
@pytest.mark.parametrize("p", [0.0, 1e-9, 0.25, 0.5, 1.0, 1.0 + 1e-7])
@pytest.mark.parametrize("label", [0, 1, True, False])
def test_every_binary_loss_lies_in_the_unit_interval(metric: str, p: float, label: int) -> None:
    loss = bounded_loss(LossSpec("binary", metric), [p], label)
    assert isinstance(loss, float)
    assert 0.0 <= loss <= 1.0


def test_brier_and_zero_one() -> None:
    assert bounded_loss(LossSpec("binary", "brier"), [0.75], 1) == pytest.approx(0.0625)
    assert bounded_loss(LossSpec("binary", "zero_one"), [0.5], 0) == 1.0
    assert bounded_loss(CLASSES, [0.0, 0.0, 1.0], "a") == 1.0
    assert bounded_loss(CLASSES, [0.5, 0.25, 0.25], "a") == pytest.approx((0.25 + 2 * 0.0625) / 2)
    assert bounded_loss(LossSpec("multiclass", "zero_one", classes=("a", "b")), [0.5, 0.5], "a") == 0.0


def test_named_binary_classes_have_the_positive_last() -> None:
    spec = LossSpec("binary", "zero_one", classes=("DOWN", "UP"))
    assert bounded_loss(spec, [0.9], "UP") == 0.0
    assert bounded_loss(spec, [0.9], 1) == Invalid.UNKNOWN_LABEL


def test_absolute_error_is_clipped_at_its_scale() -> None:
    assert bounded_loss(REGRESSION, [150.0], 100.0) == 0.25
    assert bounded_loss(REGRESSION, [1e300], 100) == 1.0


def test_reported_figures_keep_their_unit() -> None:
    assert report_metric(BINARY, "accuracy", [0.9], 1) == 1.0
    assert report_metric(BINARY, "log_loss", [0.5], 1) == pytest.approx(math.log(2))
    assert report_metric(REGRESSION, "absolute_error", [900.0], 100.0) == 800.0
    assert report_metric(REGRESSION, "squared_error", [90.0], 100.0) == 100.0


@pytest.mark.parametrize(
    ("spec", "output", "reason"),
    [
        (BINARY, None, Invalid.MISSING_OUTPUT),
        (BINARY, [None], Invalid.MISSING_OUTPUT),
        (BINARY, [], Invalid.WRONG_LENGTH),
        (BINARY, [0.4, 0.6], Invalid.WRONG_LENGTH),
        (BINARY, [math.nan], Invalid.NOT_FINITE),
        (BINARY, [math.inf], Invalid.NOT_FINITE),
        (BINARY, [1.2], Invalid.NOT_A_PROBABILITY),
        (CLASSES, [0.5, 0.5], Invalid.WRONG_LENGTH),
        (CLASSES, [0.9, 0.9, 0.9], Invalid.NOT_A_PROBABILITY),
        (REGRESSION, [-math.inf], Invalid.NOT_FINITE),
    ],
)
def test_an_output_that_is_no_prediction_is_named(
    spec: LossSpec, output: list[float | None] | None, reason: Invalid
) -> None:
    assert bounded_loss(spec, output, 1) == reason


def test_a_label_outside_the_task_is_named() -> None:
    assert bounded_loss(BINARY, [0.5], None) == Invalid.MISSING_LABEL
    assert bounded_loss(BINARY, [0.5], 2) == Invalid.UNKNOWN_LABEL
    for label in (math.nan, math.inf, "7", 10**400):
        assert bounded_loss(REGRESSION, [1.0], label) == Invalid.UNKNOWN_LABEL


def test_a_class_that_a_version_does_not_know_is_a_certain_error_of_it() -> None:
    sure = [1.0, 0.0, 0.0]
    for name in BOUNDED_METRICS["multiclass"]:
        assert bounded_loss(replace(CLASSES, metric=name), sure, "d") == pytest.approx(1.0)
    assert report_metric(CLASSES, "accuracy", sure, "d") == 0.0
    assert bounded_loss(CLASSES, [0.5, 0.5, 0.0], "d") == pytest.approx((0.5 + 1.0) / 2.0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"task": "regression", "metric": "log_loss"}, "absolute_error"),
        ({"task": "regression", "metric": "absolute_error"}, "scale"),
        ({"task": "binary", "metric": "log_loss", "clip": 0.0}, "clip"),
        ({"task": "multiclass", "metric": "brier"}, "classes"),
        ({"task": "binary", "metric": "brier", "classes": ("a",)}, "classes"),
    ],
)
def test_a_spec_that_cannot_work_says_what_it_needs(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        LossSpec(**arguments)  # pyright: ignore[reportArgumentType]


def test_a_metric_of_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match="squared_error"):
        report_metric(REGRESSION, "accuracy", [1.0], 1.0)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("metric", list(Metric))
def test_a_definition_admits_as_monitored_metric_just_what_can_be_bounded(task: Task, metric: Metric) -> None:
    monitor = {"metric": metric, "scale": 1.0}
    if metric in BOUNDED_METRICS[task]:
        assert model(task=task, monitor=monitor).metric is metric
    else:
        with pytest.raises(ValueError, match=r"monitor\.metric"):
            model(task=task, monitor=monitor)
