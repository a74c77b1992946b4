"""The fits among which a run chooses: of each window and family the best set of parameters, all judged on one set of
newest rows, which none of them has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from services.training.dataset import Dataset
from services.training.evaluation import Loss, Losses, Outputs
from services.training.families import family_named
from services.training.fit import OneClassOnly, Progress, TooFewRows, fit
from services.training.fitted_model import FittedModel
from services.training.job import Report
from services.training.windows import SINCE_CHANGE
from shared.contracts.definitions import Search


@dataclass(frozen=True, slots=True)
class Member:
    """A fit on as many rows as its window has, before the newest ones, and what it said on these: outputs [n, K] and
    bounded losses [n]. `first`: where the window begins once it ends with the newest row; `begin`: where the rows of
    this fit begin."""

    window: str
    first: int
    begin: int
    model: FittedModel
    outputs: Outputs
    losses: Losses


def fit_members(
    whole: Dataset,
    windows: Mapping[str, int],
    held_back: int,
    *,
    search: Search,
    seed: int,
    loss: Loss,
    report: Report,
    views: Sequence[str] = (),
) -> list[Member]:
    """In the order of windows (name and first row) and of families, each once.

    A short window may hold one class only, where labels are rare, and is left out; if all do, it raises OneClassOnly,
    or TooFewRows.
    """
    found: list[Member] = []
    refused: OneClassOnly | TooFewRows | None = None
    families = list(dict.fromkeys(family_named(name, whole.task) for name in search.families))
    if not families:
        raise ValueError("`training.search.families` is empty, so there is nothing to fit. Name at least one family.")
    plan = list(product(windows.items(), families))
    for number, ((window, first), family) in enumerate(plan):
        try:
            _check_newest(whole[first:])
            # So far back that as many rows as the window has lie before those that judge; but not behind a change.
            begin = first if window == SINCE_CHANGE else max(0, first - held_back)
            model = fit(
                whole[begin:], task=whole.task, families=[family], trials=search.trials, seed=seed, loss=loss,
                held_back=held_back, views=views, report_progress=_heard(report, window, number, len(plan)),
            )  # fmt: skip
        except (OneClassOnly, TooFewRows) as error:
            refused = refused or error
            continue
        found.append(_judged(whole, window, first, begin, model, loss))
    if refused is not None and not found:
        raise refused
    return found


def _check_newest(rows: Dataset) -> None:
    """The window is fitted again on these rows, so they need two classes as well. Raises OneClassOnly."""
    if rows.task != "regression" and len(set(rows.target.tolist())) < 2:
        raise OneClassOnly(len(rows), rows.target[0])


def _judged(whole: Dataset, window: str, first: int, begin: int, model: FittedModel, loss: Loss) -> Member:
    judged = whole[begin + model.fitted_rows :]
    outputs = model.predict(judged.numbers, judged.categories)
    losses = loss.bounded(loss.per_row(outputs, judged.target, model.classes))
    return Member(window, first, begin, model, outputs, losses)


def _heard(report: Report, window: str, number: int, count: int) -> Callable[[Progress], None]:
    def progressed(progress: Progress) -> None:
        share = (number + progress.done / progress.total) / count
        report(round(0.85 * share, 3), f"fit on window {window}: {progress.done} of {progress.total}")

    return progressed
