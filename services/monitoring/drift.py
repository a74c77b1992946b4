"""When the champion has become worse, and since when: DriftDetected.

The champion is watched on outcomes that were predicted while it was champion; what it said in shadow does not count,
for it was promoted because that went well. Two monitors watch it: one its loss, and one, where training has found out
which records are harder, its residual, what it lost beyond what was expected of it on such a record. Each has its
guarantee to itself; that both together keep to the run length that is configured, each is given twice as much.

Positions are those of the decided outcomes: `since` is the ordinal of the first one after the estimated change,
`position` counts those decided up to the alarm. One alarm is raised for one change, by whichever monitor is first
(`standing_alarm`).
"""

from __future__ import annotations

from services.monitoring import (
    inputs_watch,
    loss_watch,
    paired_since,
    reference_loss,
    residual_allowance,
    standing_alarm,
)
from services.monitoring.judge_state import ChampionWatch, JudgeState
from services.monitoring.loss_monitor import LossAlarm, Statistic
from services.monitoring.outcome_losses import Judged
from services.monitoring.standing_alarm import StandingAlarm
from services.monitoring.version_facts import VersionFacts
from shared.contracts.control import AlarmFigures, DriftDetected, WatchFigures
from shared.contracts.definitions import Model
from shared.contracts.expected_loss import ExpectedLoss
from shared.contracts.identity import derived_id
from shared.contracts.platform import ModelState
from shared.contracts.watch import WATCHED_OUTCOMES

MONITORS = 2  # loss and residual share the allowance for false alarms


def watch_champion(
    state: JudgeState, model: Model, decided: ModelState, outcome: Judged, facts: VersionFacts
) -> tuple[JudgeState, DriftDetected | None]:
    """The champion's loss and residual, and the alarm if one has risen and none stands that says so."""
    champion = decided.champion
    if champion is None:
        return (state._replace(champion=None) if state.champion else state), None
    watched = state.champion
    since = decided.promoted_at or 0
    expected = facts.expected_loss(decided, champion) if model.monitor.residual else None
    if watched is None or (watched.version, watched.since) != (champion, since):
        watched = _start(model, decided, champion, since, outcome.ordinal, expected)
    if expected is None and watched.residual is not None:
        watched = watched._replace(residual=None)
    watched = watched._replace(watch=loss_watch.detecting(watched.watch, model.monitor))
    if not outcome.labelled or outcome.row["champion"] != champion:
        return state._replace(champion=watched), None
    loss, excess = outcome.losses.get(champion), None if expected is None else residual_of(expected, outcome, champion)
    watched, alarms = _updated(watched, outcome.ordinal, loss, excess, expected)
    watched = _paired(watched, loss, outcome.losses.get(decided.former or 0), outcome.ordinal)
    watched = watched._replace(standing=_standing(watched, model, loss, excess, expected))
    state, found = state._replace(champion=watched), None
    for alarm in alarms:
        if found is None:
            state, found = _alarmed(state, model, decided, alarm, outcome, facts)
    return state, found


def residual_of(expected: ExpectedLoss, outcome: Judged, version: int) -> float | None:
    """What the version lost beyond what was expected, in [-cap, 1]; None without a loss."""
    loss, row = outcome.losses.get(version), outcome.row
    if loss is None:
        return None
    return expected.residual(loss, expected.of(row["inputs"], row["outputs"][str(version)]))


def _start(
    model: Model, decided: ModelState, champion: int, since: int, ordinal: int, expected: ExpectedLoss | None
) -> ChampionWatch:
    version, monitor = decided.versions.get(champion), model.monitor
    held_back = version.held_back if version else None
    if held_back is not None and not 0.0 <= held_back.mean <= min(1.0, held_back.upper):
        held_back = None  # in another unit, or not finite: nothing to compare a bounded loss with
    run_length = monitor.expected_run_length * (1 if expected is None else MONITORS)
    reference = reference_loss.start(
        monitor.reference_outcomes,
        run_length,
        held_back_mean=held_back.mean if held_back else None,
        held_back_upper=held_back.upper if held_back else None,
    )
    watch = loss_watch.start(reference, monitor.tolerance, run_length, ordinal)
    if expected is None:
        return ChampionWatch(champion, since, watch)
    allowed = residual_allowance.run_length(run_length)
    unbounded = reference_loss.start(monitor.reference_outcomes, allowed)
    tolerance = monitor.tolerance / (1.0 + expected.cap)
    residual = loss_watch.start(unbounded, tolerance, allowed, ordinal, Statistic.RESIDUAL)
    return ChampionWatch(champion, since, watch, residual=residual)


def _updated(
    watched: ChampionWatch, ordinal: int, loss: float | None, excess: float | None, expected: ExpectedLoss | None
) -> tuple[ChampionWatch, list[LossAlarm]]:
    watch, alarm = loss_watch.update(watched.watch, loss, ordinal)
    alarms, residual = [alarm], watched.residual
    if residual is not None and expected is not None:
        residual, alarm = loss_watch.update(residual, None if excess is None else expected.to_unit(excess), ordinal)
        alarms.append(alarm)
    return watched._replace(watch=watch, residual=residual), [alarm for alarm in alarms if alarm is not None]


def _alarmed(
    state: JudgeState, model: Model, decided: ModelState, alarm: LossAlarm, outcome: Judged, facts: VersionFacts
) -> tuple[JudgeState, DriftDetected | None]:
    watched, policy = state.champion, model.retrain.policy
    assert watched is not None
    found = _detected(state, watched, model, decided, alarm, outcome, facts)
    outcomes, before = alarm.count_since_change, watched.standing
    if before is not None:
        if standing_alarm.holds_back(before, found, policy, decided):
            return state, None
        if before.monitor == found.monitor:
            outcomes = before.outcomes
        found = standing_alarm.same_change(before, found)
    stands = standing_alarm.of(found, outcomes, policy, decided)
    return state._replace(champion=watched._replace(standing=stands)), found


def normal(watched: ChampionWatch, expected: ExpectedLoss | None) -> float | None:
    """What the monitor that raised the standing alarm takes for normal: a loss, or a residual. None: nothing stands, or
    nobody knows."""
    standing = watched.standing
    if standing is None:
        return None
    if standing.monitor == Statistic.LOSS:
        return watched.watch.monitor.null_mean if watched.watch.monitor else None
    if watched.residual is None or watched.residual.monitor is None or expected is None:
        return None
    return expected.of_unit(watched.residual.monitor.null_mean)


def _standing(
    watched: ChampionWatch, model: Model, loss: float | None, excess: float | None, expected: ExpectedLoss | None
) -> StandingAlarm | None:
    """The alarm that stands is judged by what it was raised on."""
    standing, usual = watched.standing, normal(watched, expected)
    if standing is None:
        return None
    of_loss = standing.monitor == Statistic.LOSS
    if not of_loss and (watched.residual is None or expected is None):
        return None  # nobody looks at residuals any more
    if usual is None:
        return standing
    return standing_alarm.after(standing, loss if of_loss else excess, usual, model.monitor.reference_outcomes)


def _paired(watched: ChampionWatch, loss: float | None, former: float | None, ordinal: int) -> ChampionWatch:
    if loss is None or former is None:
        return watched
    return watched._replace(pairs=paired_since.with_pair(watched.pairs, ordinal, loss - former))


def _detected(
    state: JudgeState, watched: ChampionWatch, model: Model, decided: ModelState, alarm: LossAlarm, outcome: Judged,
    facts: VersionFacts,
) -> DriftDetected:  # fmt: skip
    version, former = watched.version, decided.former
    pairs, difference = paired_since.since(watched.pairs, alarm.change_position, WATCHED_OUTCOMES)
    reference, mean_since, cap = alarm.reference_mean_upper, alarm.since_change_mean, None
    residual = alarm.statistic == Statistic.RESIDUAL
    expected = facts.expected_loss(decided, version) if residual else None
    if expected is not None:
        reference, mean_since, cap = expected.of_unit(reference), expected.of_unit(mean_since), expected.cap
    return DriftDetected(
        model=model.name,
        drift_id=derived_id(model.name, "drift", outcome.record_id, outcome.ordinal),
        version=version,
        monitor="residual" if residual else "loss",
        position=outcome.position,
        last_record_id=outcome.record_id,
        since=alarm.change_position,
        reference=reference,
        mean_since=mean_since,
        evidence=alarm.evidence,
        shifts=inputs_watch.explained(state.shift, version, facts.reference(decided, version)),
        watch=WatchFigures(former=former, outcomes=pairs, mean_difference=difference / pairs)
        if former is not None and pairs
        else None,
        figures=_figures(alarm, cap),
        detector=None if residual or watched.watch.river is None else watched.watch.river.detector,
    )


def _figures(alarm: LossAlarm, cap: float | None) -> AlarmFigures:
    return AlarmFigures(
        threshold=alarm.threshold,
        reference_upper=alarm.reference_mean_upper,
        tolerance=alarm.tolerance,
        null_mean=alarm.null_mean,
        leading_bet=alarm.leading_bet,
        first=alarm.first_position,
        change=alarm.change_position,
        block=alarm.block,
        count=alarm.count,
        count_since_change=alarm.count_since_change,
        run_mean=alarm.run_mean,
        since_change_mean=alarm.since_change_mean,
        cap=cap,
    )
