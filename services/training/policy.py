"""When a model is fitted again, from what is known of it: pure rules over plain values.

Bootstrap: `minimum_rows` labelled outcomes and no version; half as many more before the next attempt. Evidence: not
having retrained has cost as much as a retraining costs; an alarm with which monitoring tells nothing of that is enough
by itself. Every: so many decided outcomes after the last run. Never: nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.contracts.control import DriftDetected, RunReason
from shared.contracts.definitions import DAY_MS, Model, Policy
from shared.contracts.envelope import NEVER_MS

FEWEST_ROWS = 50  # a command fits on fewer than `minimum_rows`, but not on fewer than these


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision rests on. `alarm` and `command` are kept until they are decided; `at_quality`: it was measured
    just now. `attempted`: labelled rows at the last attempt while nothing answered. Times on the model's clock."""

    now_ms: int
    champion: int | None
    labelled: int
    position: int
    last_position: int | None
    last_end_ms: int
    attempted: int | None
    runs_today: int
    at_quality: bool
    alarm: DriftDetected | None
    command: str | None


@dataclass(frozen=True, slots=True)
class Due:
    """A run is due. `cause` names what led to it, and so the run."""

    reason: RunReason
    cause: str
    drift: DriftDetected | None = None


def due(definition: Model, known: Known) -> Due | None:
    """The run that is due, while no other and no rollout is in progress."""
    if known.command is not None and known.labelled >= FEWEST_ROWS:
        return Due(RunReason.COMMAND, f"command:{known.command}")
    if known.champion is None:
        return _bootstrap(definition, known)
    match definition.retrain.policy:
        case Policy.EVIDENCE:
            return _on_evidence(definition, known)
        case Policy.EVERY:
            return _after_rows(definition, known)
        case Policy.NEVER:
            return None


def cooldown_ms(definition: Model) -> int:
    """Between the end of a run and the next on evidence: at least until what answers now has matured outcomes."""
    return max(definition.retrain.cooldown, definition.label.matures_after)


def day_of(now_ms: int) -> int:
    """The day of a model's clock that a budget counts for."""
    return now_ms // DAY_MS


def _bootstrap(definition: Model, known: Known) -> Due | None:
    minimum = definition.training.minimum_rows
    needed = minimum if known.attempted is None else max(minimum, known.attempted + minimum // 2)
    return Due(RunReason.BOOTSTRAP, f"bootstrap:{known.labelled}") if known.labelled >= needed else None


def _on_evidence(definition: Model, known: Known) -> Due | None:
    cool = known.last_end_ms == NEVER_MS or known.now_ms >= known.last_end_ms + cooldown_ms(definition)
    if (
        known.alarm is None
        or not pays(known.alarm)
        or not cool
        or known.runs_today >= definition.retrain.budget_per_day
    ):
        return None
    return Due(RunReason.DRIFT, f"drift:{known.alarm.drift_id}", known.alarm)


def pays(alarm: DriftDetected) -> bool:
    """Whether a run on this alarm is worth its cost, as far as is known."""
    return alarm.saving is None or alarm.saving.pays


def changed_at(alarm: DriftDetected) -> int | None:
    """Where the change began that an alarm dates; what a correction spares adds up without one."""
    told = alarm.saving
    return None if alarm.monitor == "saving" and told is not None and told.by == "correction" else alarm.since


def _after_rows(definition: Model, known: Known) -> Due | None:
    rows = definition.retrain.rows
    if rows is None or not known.at_quality or known.position < (known.last_position or 0) + rows:
        return None
    return Due(RunReason.ROWS, f"rows:{known.position}")
