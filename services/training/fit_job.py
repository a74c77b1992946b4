"""One run, from decided outcomes to a checked artifact: windows, fit, parity, and the comparison with the champion.

Pure: the same job gives the same result, but for the duration. Every window is judged on the same newest rows, which no
fit has seen; the best one becomes the candidate, and meets the champion on these rows too. So where windows are
compared, the gate is a little too kind to the candidate: it is the best of at most three on rows that chose it. What
may go live is decided on live outcomes, which chose nothing (decision 0009).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.training.dataset import Dataset, LabelledRow
from services.training.evaluation import Comparison, Loss, compare_losses, constant_predictor, evaluate
from services.training.export import artifact_bytes, manifest
from services.training.fit import (
    LEAST_HELD_BACK,
    MINIMUM_ROWS,
    OneClassOnly,
    Progress,
    TooFewRows,
    fit,
    held_back_rows,
    with_expected_loss,
)
from services.training.fitted_model import FittedModel
from services.training.job import DecidedRow, FitJob, FitResult, Report
from services.training.parity import check_parity
from shared.contracts.control import GateFigures
from shared.contracts.definitions import Metric, Model
from shared.runtime.onnx_model import OnnxModel

LEAST_SINCE_CHANGE = 4 * MINIMUM_ROWS
MOST_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class _Candidate:
    window: str
    first: int
    model: FittedModel
    loss: float


def run_job(job: FitJob, report: Report) -> FitResult:
    """Raises what fit, export and parity raise: TooFewRows, OneClassOnly, LabelMismatch, ParityError, ..."""
    started_s = time.perf_counter()
    task = job.model.task.value
    rows = list(job.rows)[-MOST_ROWS:]
    labelled = [LabelledRow(r.record_id, r.time_ms, r.inputs, r.label) for r in rows]
    whole = Dataset.from_rows(job.input_spec, labelled, task)
    loss = loss_of(job.model)
    windows = _windows(job, rows)
    held_back = _held_back(len(rows) - max(windows.values()))
    candidates = _candidates(job, whole, windows, held_back, loss, report)
    best = min(candidates, key=lambda candidate: candidate.loss)
    report(0.92, "expected loss")
    best = replace(best, model=with_expected_loss(best.model, whole[best.first :], loss))
    report(0.95, "export and parity")
    artifact = artifact_bytes(best.model)
    judged = whole[len(whole) - held_back :]
    parity = check_parity(best.model, artifact, judged)
    gate = _gate(job, best, whole, judged, loss)
    outputs = best.model.predict(judged.numbers, judged.categories)
    return FitResult(
        artifact=artifact,
        family=best.model.family,
        parameters=dict(best.model.parameters),
        metrics=evaluate(outputs, judged.target, task, classes=best.model.classes, clip=job.model.monitor.clip),
        gate=gate,
        fitted_from=rows[best.first].position,
        fitted_to=rows[best.first + best.model.fitted_rows - 1].position + 1,
        window=best.window,
        windows={candidate.window: candidate.loss for candidate in candidates},
        dataset_sha256=best.model.dataset_sha256,
        duration_s=time.perf_counter() - started_s,
        parity_rows=parity.rows,
        parity_largest=parity.largest_difference,
        manifest=manifest(best.model),
    )


def loss_of(model: Model) -> Loss:
    """The loss that the definition monitors, as training computes it."""
    metric = Metric.ZERO_ONE if model.metric is Metric.ACCURACY else model.metric
    return Loss(metric.value, model.monitor.clip, model.monitor.scale)


def _windows(job: FitJob, rows: Sequence[DecidedRow]) -> dict[str, int]:
    """Name and first row of each candidate window; equal ones once."""
    if len(rows) < MINIMUM_ROWS:
        raise TooFewRows(len(rows))
    chosen = job.model.training.window
    if isinstance(chosen, int):
        return {f"newest {chosen}": max(0, len(rows) - chosen)}
    if chosen == "all" or job.since is None:
        return {"all": 0}
    changed = next((i for i, row in enumerate(rows) if row.position >= job.since), len(rows))
    since = min(changed, len(rows) - LEAST_SINCE_CHANGE)
    twice = max(0, len(rows) - 2 * (len(rows) - since))
    if since <= 0:
        return {"all": 0}
    found = {"since change": since, "twice since change": twice, "all": 0}
    return {name: first for name, first in found.items() if first > 0 or name == "all"}


def _held_back(shortest: int) -> int:
    """Rows that judge: a quarter of the shortest window, or as many as a lone fit would hold back."""
    return max(LEAST_HELD_BACK, min(shortest // 4, max(held_back_rows(shortest), 200)))


def _candidates(
    job: FitJob, whole: Dataset, windows: dict[str, int], held_back: int, loss: Loss, report: Report
) -> list[_Candidate]:
    """Each window that can be fitted. A short one may hold one class only, where labels are rare; the whole may not."""
    found: list[_Candidate] = []
    for number, (name, first) in enumerate(windows.items()):
        try:
            found.append(_fitted(job, whole, name, first, held_back, loss, _share(report, number, len(windows))))
        except (OneClassOnly, TooFewRows):
            if not found and number == len(windows) - 1:
                raise
    return found


def _fitted(
    job: FitJob, whole: Dataset, window: str, first: int, held_back: int, loss: Loss, report: Report
) -> _Candidate:
    search = job.model.training.search

    def progressed(progress: Progress) -> None:
        report(progress.done / progress.total, f"fit on window {window}: {progress.done} of {progress.total}")

    dataset = whole[first:]
    model = fit(
        dataset, task=whole.task, families=search.families, trials=search.trials, seed=job.seed,
        report_progress=progressed, loss=loss, held_back=held_back, views=job.model.inputs.views,
    )  # fmt: skip
    judged = dataset[model.fitted_rows :]
    outputs = model.predict(judged.numbers, judged.categories)
    losses = loss.bounded(loss.per_row(outputs, judged.target, model.classes))
    return _Candidate(window, first, model, float(losses.mean()))


def _share(report: Report, number: int, count: int) -> Report:
    def scaled(fraction: float, doing: str) -> None:
        report(round(0.9 * (number + fraction) / count, 3), doing)

    return scaled


def _gate(job: FitJob, best: _Candidate, whole: Dataset, judged: Dataset, loss: Loss) -> GateFigures:
    candidate = best.model.predict(judged.numbers, judged.categories)
    if job.champion_artifact is None:
        fitted = whole[best.first : best.first + best.model.fitted_rows]
        constant = constant_predictor(fitted.target, whole.task)
        reference, classes = constant.outputs(len(judged)), constant.classes
    else:
        champion = OnnxModel(job.champion_artifact)
        reference = champion.predict_columns(judged.numbers, judged.categories)
        classes = tuple(champion.manifest.get("classes") or ())
    beside = loss.bounded(loss.per_row(reference, judged.target, classes))
    own = loss.bounded(loss.per_row(candidate, judged.target, best.model.classes))
    return _figures(job, compare_losses(beside, own))


def _figures(job: FitJob, compared: Comparison) -> GateFigures:
    return GateFigures(
        against=job.champion,
        rows=compared.rows,
        candidate_loss=compared.candidate_loss,
        reference_loss=compared.champion_loss,
        mean_difference=compared.mean_difference,
        standard_error=compared.standard_error,
    )
