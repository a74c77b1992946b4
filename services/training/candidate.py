"""What a run offers: the weighted mean of its fits, judged together, and then fitted on every row.

The rows that judge are the newest ones, and in a stream that drifts these are worth most. So once they have judged,
each chosen fit is made again with the same parameters on its window up to the newest row. What was measured is of the
fits before that, and says so; nothing is chosen by the second fits (decision 0017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from threadpoolctl import threadpool_limits

from services.training.averaging import all_classes, mean_outputs
from services.training.calibration import calibration
from services.training.dataset import Dataset
from services.training.evaluation import Loss, Losses, Outputs
from services.training.families import ENCODING, Family
from services.training.fit import fit_one, with_expected_loss
from services.training.fitted_model import FittedEstimator, FittedModel
from services.training.member_weights import member_weights
from services.training.members import Member
from services.training.reference import reference_loss, rounded
from shared.contracts.fitted_text import AVERAGE


@dataclass(frozen=True, slots=True)
class OutOfSample:
    """Rows that the candidate had not seen when it answered them: its outputs [n, K] over these classes, and the losses
    [n], bounded to [0, 1]."""

    rows: Dataset
    outputs: Outputs
    classes: tuple[str, ...]
    losses: Losses


@dataclass(frozen=True, slots=True)
class Candidate:
    """The fits that stay, the best first, with their weights, and what their mean said on the rows that judged them."""

    members: tuple[Member, ...]
    weights: tuple[float, ...]
    judged: OutOfSample

    @property
    def widest(self) -> Member:
        return min(self.members, key=lambda member: member.first)

    @property
    def window(self) -> str:
        """The windows of its members, each once."""
        return " + ".join(dict.fromkeys(member.window for member in self.members))


def candidate_of(members: Sequence[Member], whole: Dataset, loss: Loss) -> Candidate:
    """Raises NothingFinite (member_weights)."""
    weights = member_weights([member.losses for member in members])
    chosen = tuple(members[place] for place in weights)
    rows = whole[len(whole) - len(chosen[0].losses) :]
    classes = [member.model.classes for member in chosen]
    outputs = mean_outputs([member.outputs for member in chosen], classes, tuple(weights.values()))
    losses = loss.bounded(loss.per_row(outputs, rows.target, all_classes(classes)))
    return Candidate(chosen, tuple(weights.values()), OutOfSample(rows, outputs, all_classes(classes), losses))


def final_model(candidate: Candidate, whole: Dataset, loss: Loss, fitted_to: int) -> FittedModel:
    """The candidate's fits made again, each on its window up to the newest row; its reference loss stays that of the
    fits that judged.

    Rows and their digest are those of the widest window; `fitted_to` is the position behind the newest outcome.
    """
    best, widest = candidate.members[0].model, candidate.widest
    rows, judged = whole[widest.first :], candidate.judged
    with threadpool_limits(limits=1):
        fitted, *beside = [_fitted_again(member, whole) for member in candidate.members]
    told = with_expected_loss(widest.model, whole[widest.begin :], loss)
    model = replace(
        told,
        fitted=fitted,
        rows=len(rows),
        fitted_rows=len(rows),
        dataset_sha256=rows.digest(),
        fitted_to=fitted_to,
        family=best.family,
        parameters=best.parameters,
        calibration=calibration(judged.rows, judged.outputs, judged.losses, judged.classes),
    )
    if not beside:
        return model
    losses = loss.per_row(judged.outputs, judged.rows.target, judged.classes)
    return replace(
        model,
        beside=tuple(beside),
        weights=candidate.weights,
        family=AVERAGE,
        parameters={"members": [_told(*each) for each in zip(candidate.members, candidate.weights, strict=True)]},
        loss=reference_loss(losses, loss),
    )


def _fitted_again(member: Member, whole: Dataset) -> FittedEstimator:
    return fit_one(whole[member.first :], _family(member), member.model.parameters, member.model.seed)


def _family(member: Member) -> Family:
    return next(family for family in ENCODING if family == member.model.family)


def _told(member: Member, weight: float) -> dict[str, Any]:
    return {
        "family": member.model.family,
        "window": member.window,
        "parameters": dict(member.model.parameters),
        "loss": rounded(float(member.losses.mean())),
        "weight": rounded(weight),
    }
