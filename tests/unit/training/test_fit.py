"""Search, choice and refit: in time order, deterministic, and better than a constant on real streams."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from services.training.dataset import Dataset, LabelledRow, Task
from services.training.evaluation import Loss, compare, constant_predictor, default_loss
from services.training.families import FAMILIES, UnknownFamily, family_named, sample_parameters
from services.training.fit import (
    MINIMUM_ROWS,
    OneClassOnly,
    Progress,
    TooFewRows,
    fit,
    held_back_rows,
    with_expected_loss,
)
from services.training.fitted_model import FittedModel
from shared.contracts.expected_loss import ExpectedLoss
from tests.unit.training.streams import bike_hours, electricity, purchases


def quick_fit(data: Dataset, families: tuple[str, ...] = ("linear",), trials: int = 2, seed: int = 7) -> FittedModel:
    return fit(data, task=data.task, families=families, trials=trials, seed=seed, report_progress=lambda _: None)


@pytest.mark.parametrize("stream", [electricity, bike_hours])
@pytest.mark.parametrize("family", ["hist_gradient_boosting", "linear"])
def test_every_family_beats_the_constant_on_later_rows_of_a_real_stream(
    stream: Callable[[int], Dataset], family: str
) -> None:
    data = stream(5000)
    older, newer = data[:4000], data[4000:]
    model = quick_fit(older, (family,))
    baseline = constant_predictor(older.target, older.task).outputs(len(newer))
    outputs = model.predict(newer.numbers, newer.categories)
    comparison = compare(baseline, outputs, newer.target, default_loss(data.task))
    assert comparison.better
    assert comparison.mean_difference < -3 * comparison.standard_error


def test_the_trial_with_the_lowest_validation_loss_is_refitted() -> None:
    model = quick_fit(bike_hours(2000), ("ridge", "hist_gradient_boosting"), trials=3)
    assert len(model.trials) == 6
    assert {trial.family for trial in model.trials} == {"ridge", "hist_gradient_boosting"}
    best = min(model.trials, key=lambda trial: trial.loss)
    assert (model.family, model.parameters) == (best.family, best.parameters)
    assert model.family == "hist_gradient_boosting"
    assert model.loss["validation"] == best.loss


def test_held_back_rows_change_neither_choice_nor_fit() -> None:
    data = electricity(1000)
    model = quick_fit(data)
    assert model.fitted_rows == 900
    flipped = dataclasses.replace(data, target=np.where(np.arange(1000) < 900, data.target, 1 - data.target))
    other = quick_fit(flipped)
    assert other.trials == model.trials
    np.testing.assert_array_equal(
        other.predict(data.numbers, data.categories), model.predict(data.numbers, data.categories)
    )
    assert other.loss["mean"] != model.loss["mean"]


def test_the_newest_fitted_rows_do_change_the_fit() -> None:
    data = electricity(1000)
    flipped = dataclasses.replace(data, target=np.where(np.arange(1000) < 800, data.target, 1 - data.target))
    outputs = [quick_fit(each).predict(data.numbers, data.categories) for each in (data, flipped)]
    assert not np.array_equal(outputs[0], outputs[1])


def test_progress_counts_every_fit_and_ends_with_the_refit() -> None:
    seen: list[Progress] = []
    fit(
        purchases(200, "binary"),
        task="binary",
        families=("hist_gradient_boosting", "linear"),
        trials=2,
        seed=1,
        report_progress=seen.append,
    )
    assert [(progress.done, progress.total) for progress in seen] == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert [progress.trial is None for progress in seen] == [False] * 4 + [True]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_smallest_dataset_that_is_allowed_fits(task: Task) -> None:
    data = purchases(MINIMUM_ROWS, task, seed=3)
    model = quick_fit(data, FAMILIES[task], trials=1)
    assert model.fitted_rows == MINIMUM_ROWS - held_back_rows(MINIMUM_ROWS)
    assert np.isfinite(model.predict(data.numbers, data.categories)).all()


def test_too_few_rows_says_how_many_are_needed() -> None:
    with pytest.raises(TooFewRows, match=f"{MINIMUM_ROWS - 1} labelled rows.*at least {MINIMUM_ROWS}"):
        quick_fit(purchases(MINIMUM_ROWS - 1, "binary"))


def test_one_class_only_says_which() -> None:
    rows = [LabelledRow(f"r{i:03d}", i, {"x": float(i)}, int(i >= 100)) for i in range(120)]
    with pytest.raises(OneClassOnly, match="label 0"):
        quick_fit(Dataset.from_rows([("x", "number")], rows, "binary"))


def test_a_class_that_only_newer_rows_have_costs_the_clip() -> None:
    rows = [LabelledRow(f"r{i:03d}", i, {"x": float(i % 7)}, "new" if i >= 100 else "ab"[i % 2]) for i in range(120)]
    model = quick_fit(Dataset.from_rows([("x", "number")], rows, "multiclass"))
    assert model.classes == ("a", "b")
    assert model.loss["mean"] == pytest.approx(-np.log(0.01))


def test_another_metric_is_judged_and_recorded() -> None:
    data = bike_hours(1000)
    model = fit(
        data,
        task="regression",
        families=("ridge",),
        trials=1,
        seed=0,
        report_progress=lambda _: None,
        loss=Loss("squared_error", scale=200.0),
    )
    assert model.loss["metric"] == "squared_error"
    assert 0.0 < model.loss["bounded_mean"] < model.loss["bounded_upper"] <= 1.0


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_parameters_follow_from_family_seed_and_trial(task: Task) -> None:
    for family in FAMILIES[task]:
        draws = [sample_parameters(family, task, seed=7, trial=trial) for trial in range(5)]
        assert draws == [sample_parameters(family, task, seed=7, trial=trial) for trial in range(5)]
        assert len({str(draw) for draw in draws}) == 5
        assert sample_parameters(family, task, seed=8, trial=1) != draws[1]


def test_linear_is_an_alias_and_an_unknown_family_lists_the_known() -> None:
    assert family_named("linear", "binary") == "logistic_regression"
    assert family_named("linear", "regression") == "ridge"
    with pytest.raises(UnknownFamily, match="hist_gradient_boosting, ridge, linear"):
        family_named("logistic_regression", "regression")


def test_a_dataset_of_another_task_or_without_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="task binary, not regression"):
        fit(purchases(60, "binary"), task="regression", families=("linear",), trials=1, seed=0, report_progress=print)
    rows = [LabelledRow(str(i), i, {}, i % 2) for i in range(60)]
    with pytest.raises(ValueError, match="no inputs"):
        quick_fit(Dataset.from_rows([], rows, "binary"))
    with pytest.raises(ValueError, match="nothing to fit"):
        quick_fit(purchases(60, "binary"), trials=0)


def test_the_expected_loss_is_learned_on_rows_that_the_chosen_trial_has_not_seen() -> None:
    data, loss = electricity(4000), default_loss("binary")
    model = quick_fit(data, ("hist_gradient_boosting",), trials=1)
    assert (model.fitted_rows, model.trial_rows) == (3600, 2880)
    found = with_expected_loss(model, data, loss).expected_loss
    assert found is not None
    assert ExpectedLoss.from_json(found).trees
    seen, unseen = np.arange(4000) < model.trial_rows, np.arange(4000) >= model.trial_rows
    for flipped, same in ((seen, True), (unseen, False)):
        other = dataclasses.replace(data, target=np.where(flipped, 1 - data.target, data.target))
        assert (with_expected_loss(model, other, loss).expected_loss == found) is same


def test_of_few_rows_nothing_is_expected() -> None:
    data = electricity(500)
    assert with_expected_loss(quick_fit(data), data, default_loss("binary")).expected_loss is None


def test_where_the_trial_knew_other_classes_the_version_itself_is_judged_on_the_held_back_rows() -> None:
    rng, rows = np.random.default_rng(1), list[LabelledRow]()
    for i in range(3000):
        new = i >= 2200 and rng.random() < 0.3
        rows.append(LabelledRow(f"r{i:04d}", i, {"x": float(rng.random())}, "new" if new else "ab"[i % 2]))
    data = Dataset.from_rows([("x", "number")], rows, "multiclass")
    model = quick_fit(data, ("linear",), trials=1)
    assert (model.trial.classes, model.classes) == (("a", "b"), ("a", "b", "new"))
    found = with_expected_loss(model, data, default_loss("multiclass")).expected_loss
    held_back = data[model.fitted_rows :]
    loss = default_loss("multiclass")
    outputs = model.predict(held_back.numbers, held_back.categories)
    losses = loss.bounded(loss.per_row(outputs, held_back.target, model.classes))
    assert found is not None
    assert found["base"] == pytest.approx(float(losses.mean()), rel=1e-6)
