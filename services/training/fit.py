"""Search and fit: choose by the loss on later rows, then refit on all but the newest, which give the reference.

Rows are in time order and never shuffled. The newest (10 %, at least 20, at most 1,000) are held back from everything.
Of the rest, trials are fitted on the first 80 % and judged on the last 20 %; the chosen parameters are fitted again on
all of it. So the held-back rows, `dataset[model.fitted_rows:]`, had no part in this fit or this choice; who compares
several fits on them, as `fit_job` does with windows, makes another choice there.

The chosen trial is kept: it has the same parameters and has seen none of the rows from `dataset[model.trial_rows:]` on,
which are many more than the held-back ones. What the version is expected to lose is learned from it there
(`with_expected_loss`); its level may differ from the version's, what makes a record hard differs little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from services.training.category_encoding import fit_encoding
from services.training.dataset import Dataset, Task
from services.training.evaluation import Loss, class_positions, default_loss
from services.training.expected_loss import expected_loss
from services.training.families import ENCODING, Family, Parameters, family_named, fit_estimator, sample_parameters
from services.training.fitted_model import FittedEstimator, FittedModel, Trial
from services.training.reference import REFERENCE_ROWS, reference_inputs, reference_loss, rounded

MINIMUM_ROWS = 50
VALIDATION_SHARE = 0.2
HELD_BACK_SHARE = 0.1
LEAST_HELD_BACK = 20
MOST_HELD_BACK = 1000
EXPECTED_LOSS_ROWS = 5_000


class TooFewRows(ValueError):
    """There are not enough labelled rows to fit and to hold some back."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        super().__init__(
            f"{rows} labelled rows are too few to fit a model: it takes at least {MINIMUM_ROWS}. "
            "Wait for more labels, or widen the window; `training.minimum_rows` says when the first run starts."
        )


class OneClassOnly(ValueError):
    """All rows that a classifier would be fitted on have the same label."""

    def __init__(self, rows: int, label: object) -> None:
        self.rows = rows
        super().__init__(
            f"the oldest {rows} labelled rows, which a fit begins with, all have label {label}: nothing to tell apart. "
            "Wait for labels of another class, or check the label's field and what `absent` says."
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` fits are finished; the newest was this trial (None: the refit of the chosen one)."""

    done: int
    total: int
    trial: Trial | None


def fit(
    dataset: Dataset,
    *,
    task: Task,
    families: Sequence[str],
    trials: int,
    seed: int,
    report_progress: Callable[[Progress], None],
    loss: Loss | None = None,
    held_back: int | None = None,
    views: Sequence[str] = (),
) -> FittedModel:
    """The best of `trials` sets of parameters of each family, by the mean loss on the validation rows.

    `held_back`: how many of the newest rows have no part in fit or choice; by default `held_back_rows`. `views`: whose
    features are among the inputs, as `view.feature`.

    The same dataset, arguments and library versions give the same model: everything runs on one thread. Raises
    TooFewRows, OneClassOnly, UnknownFamily; ValueError if the dataset is of another task or has no inputs, or if there
    is nothing to try.
    """
    _check(dataset, task)
    judged_by = loss or default_loss(task)
    plan = _plan(task, families, trials, seed)
    fitted_rows = len(dataset) - (held_back_rows(len(dataset)) if held_back is None else held_back)
    if fitted_rows < MINIMUM_ROWS - LEAST_HELD_BACK:
        raise TooFewRows(len(dataset))
    with threadpool_limits(limits=1):
        tried: list[Trial] = []
        best: tuple[Trial, FittedEstimator] | None = None
        for trial, fitted in _trials(dataset[:fitted_rows], plan, seed, judged_by):
            tried.append(trial)
            best = (trial, fitted) if best is None or trial.loss < best[0].loss else best
            report_progress(Progress(len(tried), len(plan) + 1, trial))
        assert best is not None
        model = _refit(dataset, fitted_rows, best, tuple(tried), seed, judged_by, views)
    report_progress(Progress(len(plan) + 1, len(plan) + 1, None))
    return model


def with_expected_loss(model: FittedModel, dataset: Dataset, loss: Loss) -> FittedModel:
    """The model, with the expected loss by the newest EXPECTED_LOSS_ROWS rows that its chosen trial has not seen; None
    where these say nothing. `dataset`: the one that it was fitted to. `loss` must be bounded."""
    fitted, first = model.trial, model.trial_rows
    if fitted.classes != model.classes:  # the outputs would be of other classes
        fitted, first = model.fitted, model.fitted_rows
    rows = dataset[max(first, len(dataset) - EXPECTED_LOSS_ROWS) :]
    with threadpool_limits(limits=1):
        outputs = fitted.predict(rows.numbers, rows.categories)
        losses = loss.bounded(loss.per_row(outputs, rows.target, fitted.classes))
        return replace(model, expected_loss=expected_loss(rows, outputs, losses))


def held_back_rows(rows: int) -> int:
    """How many of the newest rows the refit leaves out."""
    return min(max(int(rows * HELD_BACK_SHARE), LEAST_HELD_BACK), MOST_HELD_BACK)


def fit_one(dataset: Dataset, family: Family, parameters: Parameters, seed: int) -> FittedEstimator:
    """One set of parameters fitted to all of these rows. Raises OneClassOnly."""
    classes, target = _target(dataset)
    encoding = fit_encoding(ENCODING[family], dataset.categories, _scores(dataset))
    features = encoding.features(dataset.numbers, dataset.categories)
    estimator = fit_estimator(family, dataset.task, parameters, seed, features, target)
    return FittedEstimator(dataset.task, encoding, estimator, classes)


def _check(dataset: Dataset, task: Task) -> None:
    if dataset.task != task:
        raise ValueError(f"the dataset is for task {dataset.task}, not {task}. Build it for the model's task.")
    if not dataset.names:
        raise ValueError("the model has no inputs. Declare at least one field, derived input or view.")
    if len(dataset) < MINIMUM_ROWS:
        raise TooFewRows(len(dataset))


def _plan(task: Task, families: Sequence[str], trials: int, seed: int) -> list[tuple[Family, Parameters]]:
    # `linear` and the family that it stands for count once.
    named: list[Family] = list(dict.fromkeys(family_named(name, task) for name in families))
    if not named or trials < 1:
        raise ValueError(f"{trials} trials of {len(named)} families leave nothing to fit. Give at least one of each.")
    return [
        (family, sample_parameters(family, task, seed=seed, trial=trial)) for trial in range(trials) for family in named
    ]


def _trial_rows(fitted_rows: int) -> int:
    return fitted_rows - int(fitted_rows * VALIDATION_SHARE)


def _trials(
    dataset: Dataset, plan: list[tuple[Family, Parameters]], seed: int, loss: Loss
) -> Iterator[tuple[Trial, FittedEstimator]]:
    split = _trial_rows(len(dataset))
    older, newer = dataset[:split], dataset[split:]
    for family, parameters in plan:
        fitted = fit_one(older, family, parameters, seed)
        outputs = fitted.predict(newer.numbers, newer.categories)
        mean = float(loss.per_row(outputs, newer.target, fitted.classes).mean())
        yield Trial(family, parameters, rounded(mean)), fitted


def _refit(
    dataset: Dataset, fitted_rows: int, best: tuple[Trial, FittedEstimator], tried: tuple[Trial, ...], seed: int,
    loss: Loss, views: Sequence[str],
) -> FittedModel:  # fmt: skip
    held_back, (chosen, trial) = dataset[fitted_rows:], best
    fitted = fit_one(dataset[:fitted_rows], chosen.family, chosen.parameters, seed)
    losses = loss.per_row(fitted.predict(held_back.numbers, held_back.categories), held_back.target, fitted.classes)
    return FittedModel(
        names=dataset.names,
        kinds=dataset.kinds,
        fitted=fitted,
        family=chosen.family,
        parameters=chosen.parameters,
        seed=seed,
        dataset_sha256=dataset.digest(),
        rows=len(dataset),
        fitted_rows=fitted_rows,
        trials=tried,
        trial=trial,
        trial_rows=_trial_rows(fitted_rows),
        reference=reference_inputs(dataset[-REFERENCE_ROWS:], views),
        loss={**reference_loss(losses, loss), "validation": chosen.loss},
    )


def _target(dataset: Dataset) -> tuple[tuple[str, ...], npt.NDArray[Any]]:
    if dataset.task == "regression":
        return (), dataset.target
    labels = sorted(set(dataset.target.tolist()))
    if len(labels) < 2:
        raise OneClassOnly(len(dataset), labels[0])
    if dataset.task == "binary":
        return (), dataset.target
    return tuple(labels), class_positions(dataset.target, labels)


def _scores(dataset: Dataset) -> npt.NDArray[np.float64]:
    if dataset.task != "multiclass":
        return dataset.target.astype(np.float64)
    # Ranks need one figure a row: how common its class is.
    names = dataset.target.tolist()
    share = {name: count / len(names) for name, count in Counter(names).items()}
    return np.array([share[name] for name in names], dtype=np.float64)
