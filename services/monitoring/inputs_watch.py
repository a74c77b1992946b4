"""A version's records as they come: which inputs have moved (InputsMoved), and what the newest looked like.

An input is told once under a version: those that make up a fair share of an alarm are no longer monitored until another
version answers, so that an input that stays moved neither alarms again every few dozen records nor drowns what the
others say. With fewer inputs in the sum the monitor's guarantee stands. It advises: inputs that move need not make the
model worse, and no run follows.

Rows are taken together, always so many: where a batch of the log ends changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.monitoring import feature_monitor, feature_shift
from services.monitoring.feature_monitor import FeatureAlarm, FeatureMonitorState, MovedFeature
from services.monitoring.feature_reference import FeatureReference
from services.monitoring.feature_shift import FeatureShift, ShiftWindow
from services.monitoring.feature_statistics import Statistics
from services.monitoring.judge_state import JudgeState, ShiftWatch
from services.monitoring.version_facts import VersionFacts
from shared.contracts.control import InputsMoved, MovedInput, ShiftedFeature
from shared.contracts.definitions import Model
from shared.contracts.identity import derived_id
from shared.contracts.platform import ModelState

# Opening the sketch costs as much as a dozen rows.
ROWS_AT_ONCE = 32
# The newest one to two blocks explain an alarm: records long before the change would drown it.
BLOCK_ROWS = 100
RANKED = 5
# Of an alarm's evidence. Inputs that did not move share what chance has given them: of a sum of many, far less each.
FAIR_SHARE = 0.1


def inputs_seen(
    state: JudgeState, model: Model, decided: ModelState, record_id: str, inputs: Mapping[str, Any], facts: VersionFacts
) -> tuple[JudgeState, list[InputsMoved]]:
    """One more scored record, and the alarms of the rows that it completes."""
    state, champion = state._replace(scored=state.scored + 1), decided.champion
    reference = None if champion is None else facts.reference(decided, champion)
    if champion is None or reference is None:
        return (state._replace(shift=None) if state.shift else state), []
    shift = state.shift
    if shift is None or shift.version != champion:
        shift = ShiftWatch(champion, ShiftWindow(BLOCK_ROWS))
    shift = shift._replace(rows=(*shift.rows, inputs), ids=(*shift.ids, record_id))
    if len(shift.rows) < ROWS_AT_ONCE:
        return state._replace(shift=shift), []
    run_length = model.monitor.expected_run_length
    statistics = facts.statistics(decided, champion, run_length) if model.monitor.features else None
    watched = _flushed(shift, reference)
    if statistics is None:
        return state._replace(shift=watched._replace(monitor=None)), []
    first = state.scored - len(shift.rows)
    monitor, alarms = _told_once(_monitor(shift.monitor, statistics, run_length, first), statistics, shift.rows)
    watched = watched._replace(monitor=monitor)
    return state._replace(shift=watched), [
        _moved(model, watched, reference, statistics, alarm, shift.ids[alarm.position - first]) for alarm in alarms
    ]


def explained(shift: ShiftWatch | None, version: int, reference: FeatureReference | None) -> tuple[ShiftedFeature, ...]:
    """The inputs of the newest records under this version, the most shifted first."""
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


def _flushed(shift: ShiftWatch, reference: FeatureReference) -> ShiftWatch:
    return shift._replace(window=feature_shift.update_many(shift.window, reference, shift.rows), rows=(), ids=())


def _monitor(
    monitor: FeatureMonitorState | None, statistics: Statistics, run_length: float, first: int
) -> FeatureMonitorState:
    """The one that goes on, or one that begins: with another run length as well, but what was told stays told."""
    if monitor is not None and monitor.threshold == run_length:
        return monitor
    silent = monitor.silent if monitor else ()
    return feature_monitor.silenced(feature_monitor.start(statistics, run_length, first), silent)


def _told_once(
    monitor: FeatureMonitorState, statistics: Statistics, rows: tuple[Mapping[str, Any], ...]
) -> tuple[FeatureMonitorState, list[FeatureAlarm]]:
    values, alarms = statistics.values(rows), list[FeatureAlarm]()
    while len(values):
        monitor, alarm, taken = feature_monitor.until_alarm(monitor, statistics, values)
        values = values[taken:]
        if alarm is not None:
            alarms.append(alarm)
            monitor = feature_monitor.silenced(monitor, _told(alarm))
    return monitor, alarms


def _told(alarm: FeatureAlarm) -> tuple[str, ...]:
    first, *others = alarm.features
    return (first.feature, *(moved.feature for moved in others if moved.share >= FAIR_SHARE))


def _moved(
    model: Model, shift: ShiftWatch, reference: FeatureReference, statistics: Statistics, alarm: FeatureAlarm,
    record_id: str,
) -> InputsMoved:  # fmt: skip
    recent = {found.feature: found for found in feature_shift.ranked(reference, shift.window)}
    return InputsMoved(
        model=model.name,
        moved_id=derived_id(model.name, "moved", record_id, alarm.position),
        version=shift.version,
        first=alarm.first_position,
        position=alarm.position + 1,
        last_record_id=record_id,
        evidence=alarm.evidence,
        threshold=alarm.threshold,
        features=tuple(_input(moved, recent.get(moved.feature)) for moved in alarm.features),
        told=_told(alarm),
        unmonitored=dict(statistics.unmonitored),
    )


def _input(moved: MovedFeature, recent: FeatureShift | None) -> MovedInput:
    return MovedInput(
        feature=moved.feature,
        share=min(1.0, moved.share),
        statistic=moved.statistic,
        null_mean=moved.null_mean,
        reference_mean=moved.reference_mean,
        mean=moved.mean,
        count=moved.count,
        reference=None if recent is None else _shown(recent, recent.reference),
        recent=None if recent is None else _shown(recent, recent.recent),
    )


def _shown(found: FeatureShift, figures: Mapping[str, float]) -> str:
    """The figure that the statistic is about, for a person."""
    quartiles = ("lower_quartile", "median", "upper_quartile")
    if "median" in figures and found.statistic != "missing":
        return "quartiles " + " | ".join(f"{figures[name]:.4g}" for name in quartiles)
    return f"{found.statistic} {figures.get(found.statistic, 0.0):.3g}"
