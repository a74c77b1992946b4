"""How good the answers are that went out, reported every so many decided outcomes.

With the figures go what corrected labels make of them, and where the rollout in progress stands.
"""

from __future__ import annotations

import math

from services.monitoring import canary_judge, loss_monitor, prequential, reference_loss, revised_quality
from services.monitoring.judge_state import ChampionWatch, JudgeState
from services.monitoring.outcome_losses import Judged, figures_of_answer, measure_of, reported
from shared.contracts.control import QualityMeasured, RolloutFigures
from shared.contracts.definitions import Model

ANSWERS = "answers"
BLOCKS = 10


def counted(state: JudgeState, model: Model, outcome: Judged) -> JudgeState:
    """One more decided outcome; with a label and an answer it goes into the figures."""
    state = state._replace(position=outcome.position, labelled=state.labelled + outcome.labelled)
    if not outcome.labelled or outcome.row["answered_by"] is None:
        return state
    metrics = ("loss", *reported(model))
    quality = state.quality
    anew = quality is None or quality.metrics != metrics
    if quality is None or anew:
        quality = prequential.start(metrics, _window(model.monitor.report_every), BLOCKS)
    revised = revised_quality.following(state.revised, measure_of(model), outcome.place, len(metrics), anew)
    quality = prequential.update(quality, ANSWERS, figures_of_answer(model, outcome))
    return state._replace(quality=quality, answered=state.answered + 1, revised=revised)


def corrected(state: JudgeState, model: Model, before: Judged, after: Judged) -> JudgeState:
    """One more label corrected: the outcome by the old one, and by the new. Figures of the time stay as they are."""
    quality, revised = state.quality, state.revised
    if quality is None or revised is None or after.row["answered_by"] is None:
        return state
    old, new = (_row(quality.metrics, model, outcome) for outcome in (before, after))
    return state._replace(revised=revised_quality.corrected(revised, measure_of(model), after.place, old, new))


def _row(metrics: tuple[str, ...], model: Model, outcome: Judged) -> tuple[float, ...] | None:
    return prequential.row_of(metrics, figures_of_answer(model, outcome)) if outcome.labelled else None


def is_due(state: JudgeState, model: Model) -> bool:
    """At every `report_every`-th outcome."""
    return state.position % model.monitor.report_every == 0


def measured(
    state: JudgeState, model: Model, champion: int | None, outcome: Judged, monitored: dict[str, str]
) -> QualityMeasured:
    """The figures; before the first version they tell how many labels there are."""
    figures = None if state.quality is None else prequential.figures(state.quality, ANSWERS)
    window = dict(figures.window.values) if figures else {}
    total = dict(figures.total.values) if figures else {}
    loss = window.pop("loss", None)
    total.pop("loss", None)
    total_revised = revised_quality.total(state.revised, state.quality, ANSWERS)
    total_revised.pop("loss", None)
    return QualityMeasured(
        model=model.name,
        position=state.position,
        last_record_id=outcome.record_id,
        labelled=state.labelled,
        since_first_version=state.answered,
        version=champion,
        loss=loss,
        window=window,
        total=total,
        reference=_reference(state.champion),
        evidence=_evidence(state.champion),
        rollout=_rollout(state, model),
        monitored=monitored,
        revised=state.revised.revisions if state.revised else 0,
        total_revised=total_revised,
    )


def _rollout(state: JudgeState, model: Model) -> RolloutFigures | None:
    judge = state.rollout
    if judge is None:
        return None
    figures = canary_judge.verdict(judge.pairs, model.rollout.alpha, len(model.rollout.steps))
    return RolloutFigures(
        rollout_id=judge.rollout_id,
        outcomes=figures.count,
        invalid=figures.invalid,
        mean_difference=figures.mean_difference,
        lower=figures.lower,
        upper=figures.upper,
        e_value=figures.e_value_max,
        e_value_harm=figures.e_value_harm_max,
        threshold=figures.threshold,
        revised=judge.corrections.revisions,
    )


def _window(report_every: int) -> int:
    return -(-report_every // BLOCKS) * BLOCKS


def _reference(champion: ChampionWatch | None) -> float | None:
    found = None if champion is None else reference_loss.reference(champion.watch.reference)
    return None if found is None else found.mean


def _evidence(champion: ChampionWatch | None) -> float | None:
    if champion is None or champion.watch.monitor is None:
        return None
    evidence = loss_monitor.evidence(champion.watch.monitor)
    return math.log10(evidence) if evidence > 0.0 else None
