"""How good the answers are that went out, reported every so many decided outcomes."""

from __future__ import annotations

import math

from services.monitoring import loss_monitor, prequential, reference_loss
from services.monitoring.judge_state import ChampionWatch, JudgeState
from services.monitoring.outcome_losses import Judged, figures_of_answer, reported
from shared.contracts.control import QualityMeasured
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
    if quality is None or quality.metrics != metrics:
        quality = prequential.start(metrics, _window(model.monitor.report_every), BLOCKS)
    quality = prequential.update(quality, ANSWERS, figures_of_answer(model, outcome))
    return state._replace(quality=quality, answered=state.answered + 1)


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
        monitored=monitored,
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
