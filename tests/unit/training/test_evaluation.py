"""Losses against hand-computed values, and the paired comparison of the gate."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from services.training.dataset import Task
from services.training.evaluation import (
    METRICS,
    Loss,
    Metric,
    NothingToEvaluate,
    compare,
    compare_losses,
    constant_predictor,
    evaluate,
)
from shared.contracts.losses import LossSpec, bounded_loss, report_metric

BINARY = np.array([[0.9], [0.5], [0.2], [0.0]])
LABELS = np.array([1, 1, 0, 1])
CLASSES = ("a", "b", "c")
THREE = np.array([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2], [0.1, 0.1, 0.8]])
NAMES = np.array(["a", "b", "unknown"], dtype=object)


def test_binary_losses() -> None:
    log_loss = Loss("log_loss", clip=0.01).per_row(BINARY, LABELS)
    np.testing.assert_allclose(log_loss, [-math.log(0.9), -math.log(0.5), -math.log(0.8), -math.log(0.01)])
    np.testing.assert_allclose(Loss("brier").per_row(BINARY, LABELS), [0.01, 0.25, 0.04, 1.0])
    np.testing.assert_array_equal(Loss("zero_one").per_row(BINARY, LABELS), [0, 0, 0, 1])


def test_multiclass_losses_with_a_class_that_the_model_does_not_know() -> None:
    log_loss = Loss("log_loss", clip=0.01).per_row(THREE, NAMES, CLASSES)
    np.testing.assert_allclose(log_loss, [-math.log(0.7), -math.log(0.4), -math.log(0.01)])
    brier = Loss("brier").per_row(THREE, NAMES, CLASSES)
    np.testing.assert_allclose(brier, [0.07, 0.28, (0.66 + 1) / 2])
    np.testing.assert_array_equal(Loss("zero_one").per_row(THREE, NAMES, CLASSES), [0, 1, 1])


def test_regression_losses_and_figures() -> None:
    outputs, target = np.array([[1.0], [5.0]]), np.array([2.0, 2.0])
    np.testing.assert_array_equal(Loss("absolute_error").per_row(outputs, target), [1, 3])
    figures = evaluate(outputs, target, "regression")
    assert figures == {"absolute_error": 2.0, "root_mean_squared_error": pytest.approx(math.sqrt(5.0))}


def test_bounded_losses_lie_between_zero_and_one() -> None:
    log_loss = Loss("log_loss", clip=0.01)
    np.testing.assert_allclose(log_loss.bounded(log_loss.per_row(BINARY, LABELS))[3], 1.0)
    np.testing.assert_array_equal(Loss("absolute_error", scale=2).bounded(np.array([1.0, 3.0])), [0.5, 1.0])
    np.testing.assert_array_equal(Loss("squared_error", scale=2).bounded(np.array([1.0, 9.0])), [0.25, 1.0])
    with pytest.raises(ValueError, match=r"monitor\.scale"):
        Loss("absolute_error").bounded(np.array([1.0]))


def test_figures_of_a_classifier() -> None:
    figures = evaluate(BINARY, LABELS, "binary")
    assert figures["accuracy"] == 0.75
    assert figures["brier"] == pytest.approx(1.3 / 4)
    assert evaluate(THREE, NAMES, "multiclass", classes=CLASSES)["accuracy"] == pytest.approx(1 / 3)
    with pytest.raises(NothingToEvaluate):
        evaluate(BINARY[:0], LABELS[:0], "binary")


def test_a_candidate_that_is_better_on_the_same_rows() -> None:
    comparison = compare_losses(np.array([0.5, 0.6, 0.7, 0.8]), np.array([0.4, 0.6, 0.5, 0.7]))
    assert dataclasses.astuple(comparison)[:-1] == pytest.approx((4, 0.65, 0.55, -0.1, 0.0408248))
    assert comparison.blocks is None
    assert comparison.better


def test_rows_that_hang_together_count_as_blocks() -> None:
    of_blocks = np.array([0.0, 0.2, 0.1, 0.3, 0.2])
    comparison = compare_losses(np.full(120, 0.5), 0.5 + np.repeat(of_blocks, 24))
    assert comparison.blocks == 5
    assert comparison.standard_error == pytest.approx(of_blocks.std(ddof=1) / np.sqrt(5))
    assert comparison.standard_error > 4 * np.repeat(of_blocks, 24).std(ddof=1) / np.sqrt(120)


@pytest.mark.parametrize("candidate", [[0.5, 0.6], [0.5, 0.7], [0.1, math.nan], [0.1, math.inf]])
def test_equal_worse_and_unknown_losses_do_not_win(candidate: list[float]) -> None:
    assert not compare_losses(np.array([0.5, 0.6]), np.array(candidate)).better


def test_an_output_that_is_not_finite_wins_by_no_metric() -> None:
    for metric in ("log_loss", "brier", "zero_one"):
        broken = np.full((4, 1), np.nan)
        assert not compare(1.0 - BINARY, broken, LABELS, Loss(metric)).better


def test_no_rows_win_nothing_and_unpaired_losses_are_refused() -> None:
    assert not compare_losses(np.array([]), np.array([])).better
    with pytest.raises(ValueError, match="not paired"):
        compare_losses(np.array([0.1]), np.array([0.1, 0.2]))


def test_models_with_other_classes_are_compared_by_their_own() -> None:
    two = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    comparison = compare(two, THREE, NAMES, Loss("zero_one"), champion_classes=("a", "b"), candidate_classes=CLASSES)
    assert (comparison.champion_loss, comparison.candidate_loss) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_the_constant_predictor_minimises_the_loss_among_constants() -> None:
    assert constant_predictor(LABELS, "binary").outputs(2).tolist() == [[0.75], [0.75]]
    assert constant_predictor(np.array([1.0, 2.0, 90.0]), "regression").output == (2.0,)
    three = constant_predictor(np.array(["b", "a", "b", "b"], dtype=object), "multiclass")
    assert (three.classes, three.output) == (("a", "b"), (0.25, 0.75))
    with pytest.raises(NothingToEvaluate):
        constant_predictor(LABELS[:0], "binary")


@pytest.mark.parametrize(("task", "metric"), [(task, metric) for task, known in METRICS.items() for metric in known])
def test_losses_are_those_that_monitoring_and_console_compute(task: Task, metric: Metric) -> None:
    """Training's formulas work on columns and stand on their own, so they are held against those of one outcome."""
    random, rows, clip, scale = np.random.default_rng(11), 400, 0.02, 30.0
    names: dict[Task, tuple[str, ...]] = {"multiclass": CLASSES}
    classes = names.get(task, ())
    if task == "regression":
        outputs, target = random.normal(0, 40, (rows, 1)), random.normal(0, 40, rows)
    elif task == "binary":
        outputs, target = random.beta(0.3, 0.3, (rows, 1)), random.integers(0, 2, rows)
        outputs[:3] = [[0.0], [1.0], [0.5]]
    else:
        outputs, target = random.dirichlet((0.3,) * 3, rows), random.choice(np.array(CLASSES, dtype=object), rows)
        outputs[:2] = [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    loss = Loss(metric, clip, scale)
    per_row = loss.per_row(outputs, target, classes)
    monitored: Metric = "absolute_error" if task == "regression" else metric
    spec = LossSpec(task, monitored, clip, scale if task == "regression" else None, classes)
    said = [report_metric(spec, metric, outputs[i].tolist(), target[i]) for i in range(rows)]
    np.testing.assert_allclose(per_row, np.array(said, dtype=float), rtol=1e-12, atol=1e-12)
    if metric == monitored:
        bounded = [bounded_loss(spec, outputs[i].tolist(), target[i]) for i in range(rows)]
        np.testing.assert_allclose(loss.bounded(per_row), np.array(bounded, dtype=float), rtol=1e-12, atol=1e-12)
