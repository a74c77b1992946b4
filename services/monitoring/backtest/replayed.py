"""The alarms that a configuration raises on the recorded outcomes, by the same code that watches them in service."""

from __future__ import annotations

from dataclasses import dataclass

from services.monitoring import drift
from services.monitoring.backtest.recorded import Recorded
from services.monitoring.judge_state import JudgeState
from services.monitoring.outcome_losses import Judged
from services.monitoring.version_facts import NoFacts
from shared.contracts.control import DriftDetected
from shared.contracts.definitions import Monitor


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm. `position`: outcomes decided up to it; `since`: the first outcome after the estimated change.

    mean_before: of the version's losses up to the change, None where it has none; mean_since: from there to the alarm.
    raised: the position of the alarm that was really raised on that change, if one was. replaced: the first outcome of
    the version that came next, if one did.
    """

    position: int
    record_id: str
    time_ms: int
    version: int
    since: int
    mean_before: float | None
    mean_since: float
    evidence: float | None
    threshold: float | None
    raised: int | None
    replaced: int | None


def replayed(recorded: Recorded, monitor: Monitor) -> tuple[list[Alarm], int]:
    """Every alarm, in order; and how many losses were watched: none are where nothing bounds the reference.

    Of the loss alone, for recorded losses come without their inputs. One alarm stands for one change, as in service;
    what really came of an alarm came of it here too. Raises RiverMissing.
    """
    model = recorded.model.model_copy(update={"monitor": monitor})
    state, alarms, watched = JudgeState(), list[Alarm](), 0
    for outcome, decided in recorded.outcomes:
        state, found = drift.watch_champion(state, model, decided, outcome, NoFacts())
        watched += _is_watched(state, outcome)
        if found is not None:
            alarms.append(_told(recorded, found, outcome.time_ms, _threshold(state)))
    return alarms, watched


def missed(recorded: Recorded, alarms: list[Alarm]) -> list[int]:
    """The positions of the alarms that were really raised, and have no counterpart among these."""
    matched = {alarm.raised for alarm in alarms}
    return [alarm.position for alarm in recorded.alarms if alarm.position not in matched]


def _told(recorded: Recorded, found: DriftDetected, time_ms: int, threshold: float | None) -> Alarm:
    stretch = recorded.stretch_at(found.position - 1)
    return Alarm(
        position=found.position,
        record_id=found.last_record_id,
        time_ms=time_ms,
        version=found.version,
        since=found.since,
        mean_before=None if stretch is None else stretch.mean_between(0, found.since),
        mean_since=found.mean_since,
        evidence=found.evidence or None,
        threshold=threshold,
        raised=next((a.position for a in recorded.alarms if _on_one_change(a, found)), None),
        replaced=None if stretch is None else recorded.replaced_at(stretch),
    )


def _is_watched(state: JudgeState, outcome: Judged) -> bool:
    watched = state.champion
    if watched is None or outcome.row["champion"] != watched.version or outcome.losses.get(watched.version) is None:
        return False
    return watched.watch.river is not None or watched.watch.monitor is not None


def _on_one_change(one: DriftDetected, other: DriftDetected) -> bool:
    """Whether the spans from change to alarm of one version have an outcome in common."""
    return one.version == other.version and one.since < other.position and other.since < one.position


def _threshold(state: JudgeState) -> float | None:
    """Which figure the evidence had to reach; None where the detector has no such figure."""
    watch = None if state.champion is None else state.champion.watch
    if watch is None:
        return None
    if watch.river is not None:
        given = dict(watch.river.parameters).get("threshold")
        return None if given is None else float(given)
    return None if watch.monitor is None else watch.monitor.threshold
