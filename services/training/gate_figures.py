"""The candidate beside what answers now, on newest rows that neither was fitted on: the figures that the gate reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from services.training.candidate import Candidate
from services.training.dataset import Dataset
from services.training.evaluation import Loss, Losses, compare_losses, constant_predictor
from shared.contracts.control import GateFigures
from shared.runtime.onnx_model import OnnxModel

# With fewer that the champion has not seen, all that judged are compared.
LEAST_UNSEEN = 30


def against_constant(candidate: Candidate, whole: Dataset, loss: Loss) -> GateFigures:
    """Beside the constant predictor of the rows that the widest fit had, for a first version."""
    rows, widest = candidate.judged.rows, candidate.widest
    judged_from = len(whole) - len(rows)
    fitted = whole[judged_from - widest.model.fitted_rows : judged_from]
    constant = constant_predictor(fitted.target, whole.task)
    losses = loss.bounded(loss.per_row(constant.outputs(len(rows)), rows.target, constant.classes))
    return _figures(None, candidate.judged.losses, losses, 0)


def against_champion(
    candidate: Candidate, loss: Loss, champion: int, artifact: bytes, positions: Mapping[str, int]
) -> GateFigures:
    """Beside a version. `positions`: of each row's id, its place among the decided outcomes.

    Rows that the champion was fitted on make it look better than it is, so they are left out as long as LEAST_UNSEEN
    others remain; otherwise they count, which can hold a candidate back but never let a worse one pass.
    """
    rows, model = candidate.judged.rows, OnnxModel(artifact)
    outputs = model.predict_columns(rows.numbers, rows.categories)
    losses = loss.bounded(loss.per_row(outputs, rows.target, tuple(model.manifest.get("classes") or ())))
    fitted_to = model.manifest.get("fitted_to") or 0
    unseen = np.array([positions[row] >= fitted_to for row in rows.ids])
    if int(unseen.sum()) < LEAST_UNSEEN:
        return _figures(champion, candidate.judged.losses, losses, int((~unseen).sum()))
    return _figures(champion, candidate.judged.losses[unseen], losses[unseen], 0)


def _figures(against: int | None, candidate: Losses, reference: Losses, seen: int) -> GateFigures:
    compared = compare_losses(reference, candidate)
    return GateFigures(
        against=against,
        rows=compared.rows,
        candidate_loss=compared.candidate_loss,
        reference_loss=compared.champion_loss,
        mean_difference=compared.mean_difference,
        standard_error=compared.standard_error,
        blocks=compared.blocks,
        seen=seen,
    )
