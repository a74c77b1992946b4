"""One run, from decided outcomes to a checked artifact: windows, fits, choice, parity, comparison with the champion.

Pure: the same job gives the same result, but for the duration. Every fit is judged on the same newest rows, which none
has seen; their mean, each weighed by how close to the best it is, becomes the candidate, and meets the champion on
these rows too. So the gate is a little too kind to the candidate, the less the more fits share it. What may go live is
decided on live outcomes, which chose nothing (decisions 0009 and 0017).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from services.training.candidate import Candidate, candidate_of, final_model
from services.training.dataset import Dataset, LabelledRow, Task, label_fits
from services.training.evaluation import Loss, evaluate
from services.training.export import artifact_bytes, manifest
from services.training.fit import MINIMUM_ROWS
from services.training.gate_figures import against_champion, against_constant
from services.training.job import DecidedRow, FitJob, FitResult, Report
from services.training.members import Member, fit_members
from services.training.parity import check_parity
from services.training.windows import candidate_windows, judging_rows
from shared.contracts.control import GateFigures
from shared.contracts.definitions import Metric, Model

MOST_ROWS = 50_000


def run_job(job: FitJob, report: Report) -> FitResult:
    """Raises what fit, choice, export and parity raise: TooFewRows, OneClassOnly, LabelMismatch, NothingFinite, ..."""
    started_s = time.perf_counter()
    task = job.model.task.value
    newest = job.rows[-MOST_ROWS:]
    rows = _usable(newest, task)
    positions = [row.position for row in rows]
    windows = candidate_windows(job.model.training.window, positions, job.since, job.model.training.minimum_rows)
    labelled = [LabelledRow(r.record_id, r.time_ms, r.inputs, r.label) for r in rows]
    whole = Dataset.from_rows(job.input_spec, labelled, task)
    loss = loss_of(job.model)
    members = _members(job, whole, windows, loss, report)
    candidate = candidate_of(members, whole, loss)
    report(0.85, "fit on the newest rows too")
    fitted_to = positions[-1] + 1
    model = final_model(candidate, whole, loss, fitted_to)
    report(0.95, "export and parity")
    artifact = artifact_bytes(model)
    judged = candidate.judged
    parity = check_parity(model, artifact, judged.rows)
    return FitResult(
        artifact=artifact,
        family=model.family,
        parameters=dict(model.parameters),
        metrics=evaluate(judged.outputs, judged.rows.target, task, classes=judged.classes, clip=job.model.monitor.clip),
        gate=_gate(job, candidate, whole, loss),
        fitted_from=positions[candidate.widest.first],
        fitted_to=fitted_to,
        judged_from=positions[len(whole) - len(judged.rows)],
        window=candidate.window,
        windows=_best_of_each(members),
        dataset_sha256=model.dataset_sha256,
        duration_s=time.perf_counter() - started_s,
        parity_rows=parity.rows,
        parity_largest=parity.largest_difference,
        manifest=manifest(model),
        unusable_labels=len(newest) - len(rows),
    )


def _usable(rows: Sequence[DecidedRow], task: Task) -> Sequence[DecidedRow]:
    """Rows with a label that the task can have; all of them where too few are left, so that one is named."""
    usable = [row for row in rows if label_fits(row.label, task)]
    return usable if len(usable) >= MINIMUM_ROWS else rows


def loss_of(model: Model) -> Loss:
    """The loss that the definition monitors, as training computes it."""
    metric = Metric.ZERO_ONE if model.metric is Metric.ACCURACY else model.metric
    return Loss(metric.value, model.monitor.clip, model.monitor.scale)


def _members(job: FitJob, whole: Dataset, windows: dict[str, int], loss: Loss, report: Report) -> list[Member]:
    held_back = judging_rows(len(whole))
    search = job.model.training.search
    return fit_members(
        whole, windows, held_back, search=search, seed=job.seed, loss=loss, report=report, views=job.model.inputs.views
    )


def _best_of_each(members: list[Member]) -> dict[str, float]:
    """The lowest loss on each window; one that is not finite only where there is no other."""
    found: dict[str, float] = {}
    for member in members:
        mean = float(member.losses.mean())
        if member.window not in found or not found[member.window] <= mean:
            found[member.window] = mean
    return found


def _gate(job: FitJob, candidate: Candidate, whole: Dataset, loss: Loss) -> GateFigures:
    if job.champion is None or job.champion_artifact is None:
        return against_constant(candidate, whole, loss)
    positions = {row.record_id: row.position for row in job.rows}
    return against_champion(candidate, loss, job.champion, job.champion_artifact, positions)
