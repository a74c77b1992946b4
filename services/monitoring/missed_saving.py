"""When a retraining pays: once not having retrained has cost as much as a retraining costs.

For every outcome of the champion, spared = its loss - the loss of its correction (`correction`), which has learnt from
nothing but the outcomes before. missed <- max(0, missed + spared - cost / horizon), and at `cost` a run is due. Both
are in units of the bounded loss: saving less than cost / horizon an outcome is not worth a retraining whose effect
lasts for `horizon` outcomes. This is to rent until the rent paid equals the price (ski rental: Karlin, Manasse, Rudolph
and Sleator 1988): of what is missed beyond cost / horizon an outcome, it never pays more than twice what the better of
renting and buying would have cost in hindsight, as far as the correction tells what a refit spares. It takes no
forecast, and noise does not add up: where nothing is to be learnt, a correction only loses.

A correction is linear and does not find all that a refit would. So where an alarm of the champion's loss stands, half
of what was lost since its change beyond what is normal counts instead, if that is more.

Once it is said, nothing more is counted. When a run that drift led to is over, be it on another alarm, and the same
version still answers, it begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.monitoring import correction
from services.monitoring.correction import Correction
from services.monitoring.outcome_losses import Judged
from services.monitoring.standing_alarm import StandingAlarm, answered_in_vain
from shared.contracts.control import DriftDetected, MissedSaving
from shared.contracts.definitions import Model, Policy
from shared.contracts.identity import derived_id
from shared.contracts.losses import Invalid, bounded_loss
from shared.contracts.platform import ModelState

SHARE_OF_EXCESS = 0.5


class Excess(NamedTuple):
    """What was lost beyond the normal since the change of a standing alarm, and since which outcome."""

    since: int
    amount: float


class Missed(NamedTuple):
    """Of a version since it answers. `amount`: missed by the correction; the excursion that it belongs to began with
    the outcome `first` and has so many `outcomes`, with these sums of the loss and of what was spared.

    `said`: whether it was. `answered`: the newest alarm that had led to a run when it began; `before`: of the alarm
    that stood then, whose change counts from there on.
    """

    version: int
    since: int
    correction: Correction = Correction()
    amount: float = 0.0
    first: int = 0
    outcomes: int = 0
    lost: float = 0.0
    spared: float = 0.0
    said: bool = False
    answered: str | None = None
    before: Excess | None = None

    def to_json(self) -> dict[str, Any]:
        """The state as a plain dict of JSON values."""
        return {**self._asdict(), "correction": self.correction.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Missed:
        """The state that `to_json` wrote."""
        known = dict(data)
        before = known.pop("before")
        return cls(correction=Correction.from_json(known.pop("correction")), before=before and Excess(*before), **known)


def excess_of(standing: StandingAlarm | None, normal: float | None) -> Excess | None:
    """Of the alarm that stands, if one does; `normal`: what the monitor takes for it."""
    if standing is None or normal is None:
        return None
    return Excess(standing.since, max(0.0, standing.total - standing.outcomes * normal))


def watch(
    state: Missed | None, model: Model, decided: ModelState, outcome: Judged, excess: Excess | None
) -> tuple[Missed | None, DriftDetected | None]:
    """After one more decided outcome; and the event, if what was missed has just reached the cost."""
    champion = decided.champion
    if champion is None or model.retrain.policy is not Policy.EVIDENCE:
        return None, None
    since = decided.promoted_at or 0
    if state is None or (state.version, state.since) != (champion, since):
        state = Missed(champion, since, answered=decided.answered)
    if not outcome.labelled or outcome.row["champion"] != champion:
        return state, None
    state = _begun_anew(state, decided, excess)
    state = _counted(state, model, outcome, champion)
    figures = saving_of(state, model, excess)
    if state.said or figures is None or not figures.pays:
        return state, None
    return state._replace(said=True), _said(state, model, outcome, figures, excess)


def saving_of(state: Missed | None, model: Model, excess: Excess | None) -> MissedSaving | None:
    """What has been missed so far, for an event; None where nothing is counted."""
    if state is None:
        return None
    by_excess = SHARE_OF_EXCESS * _of_alarm(state, excess)
    missed, cost = max(state.amount, by_excess), model.retrain.cost
    return MissedSaving(
        missed=missed,
        cost=cost,
        horizon=model.retrain.horizon,
        by="correction" if state.amount >= by_excess else "alarm",
        outcomes=state.outcomes,
        mean_loss=state.lost / state.outcomes if state.outcomes else None,
        corrected_loss=(state.lost - state.spared) / state.outcomes if state.outcomes else None,
        pays=missed > 0.0 and missed >= cost,
    )


def _begun_anew(state: Missed, decided: ModelState, excess: Excess | None) -> Missed:
    newest = decided.answered
    if newest is None or newest == state.answered or not answered_in_vain(newest, decided):
        return state
    return Missed(state.version, state.since, state.correction, answered=newest, before=excess)


def _of_alarm(state: Missed, excess: Excess | None) -> float:
    if excess is None:
        return 0.0
    before = state.before
    told = before.amount if before is not None and before.since == excess.since else 0.0
    return max(0.0, excess.amount - told)


def _counted(state: Missed, model: Model, outcome: Judged, champion: int) -> Missed:
    loss, spec = outcome.losses.get(champion), outcome.specs.get(champion)
    if loss is None or spec is None:
        return state
    row = outcome.row
    learnt, output = correction.learn(
        state.correction, spec, row["inputs"], row["outputs"][str(champion)], row["label"]
    )
    state = state._replace(correction=learnt)
    corrected = bounded_loss(spec, output, row["label"])
    if state.said or isinstance(corrected, Invalid):
        return state
    spared = loss - corrected
    amount = state.amount + spared - model.retrain.cost / model.retrain.horizon
    if amount <= 0.0:
        return state._replace(amount=0.0, outcomes=0, lost=0.0, spared=0.0)
    return state._replace(
        amount=amount,
        first=state.first if state.outcomes else outcome.ordinal,
        outcomes=state.outcomes + 1,
        lost=state.lost + loss,
        spared=state.spared + spared,
    )


def _said(state: Missed, model: Model, outcome: Judged, figures: MissedSaving, excess: Excess | None) -> DriftDetected:
    by_alarm = figures.by == "alarm" and excess is not None
    return DriftDetected(
        model=model.name,
        drift_id=derived_id(model.name, "saving", outcome.record_id, outcome.ordinal),
        version=state.version,
        monitor="saving",
        position=outcome.position,
        last_record_id=outcome.record_id,
        since=excess.since if by_alarm and excess else state.first,
        reference=figures.corrected_loss or 0.0,
        mean_since=figures.mean_loss or 0.0,
        evidence=figures.missed,
        saving=figures,
    )
