"""Whether a fitted version may go further: it must beat what answers now on rows that it was not fitted on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shared.contracts.control import GateFigures
from shared.contracts.definitions import Policy

ENOUGH_ROWS = 30


@dataclass(frozen=True, slots=True)
class Judgement:
    passed: bool
    reason: str


def judge(figures: GateFigures, champion: int | None, policy: Policy) -> Judgement:
    """The figures are of the newest matured labels; without a champion they must beat the constant predictor."""
    beaten = _beats(figures)
    if champion is not None and policy is Policy.EVERY:
        return Judgement(True, f"policy every: the definition is the gate; {beaten.reason}")
    if figures.against != champion:
        return Judgement(False, f"superseded: it was compared with {_named(figures.against)}, {_now(champion)}")
    return beaten


def _beats(figures: GateFigures) -> Judgement:
    against = _named(figures.against)
    losses = (figures.candidate_loss, figures.reference_loss, figures.mean_difference)
    if figures.rows < ENOUGH_ROWS:
        return Judgement(False, f"{figures.rows} rows to compare with {against}, {ENOUGH_ROWS} are needed")
    if not all(math.isfinite(loss) for loss in losses):
        return Judgement(False, f"figures beside {against} that are not finite prove nothing")
    said = f"loss {figures.candidate_loss:.4g} against {figures.reference_loss:.4g} of {against}, {figures.rows} rows"
    if figures.candidate_loss < figures.reference_loss:
        return Judgement(True, f"better: {said}")
    return Judgement(False, f"not better: {said}")


def _named(version: int | None) -> str:
    return "the constant predictor" if version is None else f"version {version}"


def _now(champion: int | None) -> str:
    return "and nothing answers by now" if champion is None else f"and version {champion} answers by now"
