"""When the champion has become worse, since when, and which inputs have moved: DriftDetected.

The champion is watched on outcomes that were predicted while it was champion; what it said in shadow does not count,
for it was promoted because that went well. Positions are those of the decided outcomes: `since` is the ordinal of the
first one after the estimated change, `position` counts those decided up to the alarm. One alarm is raised for one
change (`standing_alarm`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from services.monitoring import feature_shift, loss_watch, paired_since, reference_loss, standing_alarm
from services.monitoring.feature_reference import FeatureReference
from services.monitoring.feature_shift import FeatureShift, ShiftWindow
from services.monitoring.judge_state import ChampionWatch, JudgeState, ShiftWatch
from services.monitoring.loss_monitor import LossAlarm
from services.monitoring.outcome_losses import Judged
from services.monitoring.standing_alarm import StandingAlarm
from shared.contracts.control import DriftDetected, ShiftedFeature, WatchFigures
from shared.contracts.definitions import Model
from shared.contracts.identity import derived_id
from shared.contracts.platform import ModelState
from shared.contracts.watch import WATCHED_OUTCOMES

ReferenceOf = Callable[[int], FeatureReference | None]
# Opening the sketch costs as much as a dozen rows.
ROWS_AT_ONCE = 32
# The newest one to two blocks explain an alarm: records long before the change would drown it.
BLOCK_ROWS = 100
RANKED = 5


def inputs_seen(
    state: JudgeState, decided: ModelState, inputs: Mapping[str, Any], reference: ReferenceOf
) -> JudgeState:
    """One more record's inputs, for the explanation of an alarm."""
    champion = decided.champion
    known = None if champion is None else reference(champion)
    if champion is None or known is None:
        return state._replace(shift=None) if state.shift else state
    shift = state.shift
    if shift is None or shift.version != champion:
        shift = ShiftWatch(champion, ShiftWindow(BLOCK_ROWS))
    shift = shift._replace(rows=(*shift.rows, inputs))
    return state._replace(shift=_flushed(shift, known) if len(shift.rows) >= ROWS_AT_ONCE else shift)


def watch_champion(
    state: JudgeState, model: Model, decided: ModelState, outcome: Judged, reference: ReferenceOf
) -> tuple[JudgeState, DriftDetected | None]:
    """The champion's loss, and the alarm if it has risen and none stands that says so."""
    champion = decided.champion
    if champion is None:
        return (state._replace(champion=None) if state.champion else state), None
    watched = state.champion
    since = decided.promoted_at or 0
    if watched is None or (watched.version, watched.since) != (champion, since):
        watched = _start(model, decided, champion, since, outcome.ordinal)
    watched = watched._replace(watch=loss_watch.detecting(watched.watch, model.monitor))
    if not outcome.labelled or outcome.row["champion"] != champion:
        return state._replace(champion=watched), None
    loss = outcome.losses.get(champion)
    watch, alarm = loss_watch.update(watched.watch, loss, outcome.ordinal)
    watched = _paired(watched._replace(watch=watch), loss, outcome.losses.get(decided.former or 0), outcome.ordinal)
    watched = watched._replace(standing=_standing(watched, model, loss))
    state = state._replace(champion=watched)
    if alarm is None:
        return state, None
    found, policy = _detected(state, model, decided, alarm, outcome, reference), model.retrain.policy
    outcomes, before = alarm.count_since_change, watched.standing
    if before is not None:
        if standing_alarm.holds_back(before, found, policy, decided):
            return state, None
        found, outcomes = standing_alarm.same_change(before, found), before.outcomes
    stands = standing_alarm.of(found, outcomes, policy, decided)
    return state._replace(champion=watched._replace(standing=stands)), found


def _standing(watched: ChampionWatch, model: Model, loss: float | None) -> StandingAlarm | None:
    standing, monitor = watched.standing, watched.watch.monitor
    if standing is None or monitor is None:
        return standing
    return standing_alarm.after(standing, loss, monitor.null_mean, model.monitor.reference_outcomes)


def _start(model: Model, decided: ModelState, champion: int, since: int, ordinal: int) -> ChampionWatch:
    version = decided.versions.get(champion)
    held_back = version.held_back if version else None
    if held_back is not None and not 0.0 <= held_back.mean <= min(1.0, held_back.upper):
        held_back = None  # in another unit, or not finite: nothing to compare a bounded loss with
    reference = reference_loss.start(
        model.monitor.reference_outcomes,
        model.monitor.expected_run_length,
        held_back_mean=held_back.mean if held_back else None,
        held_back_upper=held_back.upper if held_back else None,
    )
    watch = loss_watch.start(reference, model.monitor.tolerance, model.monitor.expected_run_length, ordinal)
    return ChampionWatch(champion, since, watch)


def _paired(watched: ChampionWatch, loss: float | None, former: float | None, ordinal: int) -> ChampionWatch:
    if loss is None or former is None:
        return watched
    return watched._replace(pairs=paired_since.with_pair(watched.pairs, ordinal, loss - former))


def _detected(
    state: JudgeState, model: Model, decided: ModelState, alarm: LossAlarm, outcome: Judged, reference: ReferenceOf
) -> DriftDetected:
    version = decided.champion or 0
    watched = state.champion
    former = decided.former
    blocks = watched.pairs if watched else ()
    pairs, difference = paired_since.since(blocks, alarm.change_position, WATCHED_OUTCOMES)
    return DriftDetected(
        model=model.name,
        drift_id=derived_id(model.name, "drift", outcome.record_id, outcome.ordinal),
        version=version,
        monitor="loss",
        position=outcome.position,
        last_record_id=outcome.record_id,
        since=alarm.change_position,
        reference=alarm.reference_mean_upper,
        mean_since=alarm.since_change_mean,
        evidence=alarm.evidence,
        shifts=_shifts(state.shift, version, reference(version)),
        watch=WatchFigures(former=former, outcomes=pairs, mean_difference=difference / pairs)
        if former is not None and pairs
        else None,
        detector=None if watched is None or watched.watch.river is None else watched.watch.river.detector,
    )


def _flushed(shift: ShiftWatch, reference: FeatureReference) -> ShiftWatch:
    return shift._replace(window=feature_shift.update_many(shift.window, reference, shift.rows), rows=())


def _shifts(shift: ShiftWatch | None, version: int, reference: FeatureReference | None) -> tuple[ShiftedFeature, ...]:
    if shift is None or reference is None or shift.version != version:
        return ()
    ranked = feature_shift.ranked(reference, _flushed(shift, reference).window)[:RANKED]
    return tuple(
        ShiftedFeature(
            feature=found.feature, score=found.score, statistic=found.statistic, direction=found.direction,
            reference=_shown(found, found.reference), recent=_shown(found, found.recent),
        )
        for found in ranked
    )  # fmt: skip


def _shown(found: FeatureShift, figures: Mapping[str, float]) -> str:
    """The figure that the statistic is about, for a person."""
    quartiles = ("lower_quartile", "median", "upper_quartile")
    if "median" in figures and found.statistic != "missing":
        return "quartiles " + " | ".join(f"{figures[name]:.4g}" for name in quartiles)
    return f"{found.statistic} {figures.get(found.statistic, 0.0):.3g}"
