"""Of decisions: 1, 2, 11, 12, 13, 17, 18. All of them from control.v1, 2 with the predictions beside it."""

from __future__ import annotations

from collections.abc import Iterator

from shared.contracts import control as c
from shared.contracts.envelope import NEVER_MS
from shared.contracts.flow import PredictionMade
from shared.contracts.platform import Platform
from shared.contracts.topics import PREDICTIONS
from tests.scenarios.evidence import Evidence
from tests.scenarios.topic_history import Read

AUTO = "auto"


def one_champion(evidence: Evidence) -> Iterator[str]:
    """1: whatever comes to answer takes the place of what answered, and says of which."""
    for read, event in evidence.history.decided(c.VersionPromoted, c.ModelRolledBack):
        champion = evidence.platform(read.offset).model(event.model).champion
        if event.former != champion:
            yield f"{_at(read)}: {event.model} {event.version} took over from {event.former}, but {champion} answered"


def answers_are_approved(evidence: Evidence) -> Iterator[str]:
    """2: registered, gated and approved at an earlier position."""
    for read, event in evidence.history.decided(c.VersionPromoted):
        wrong = _not_approved(evidence.platform(read.offset), event.model, event.version)
        if wrong:
            yield f"{_at(read)}: promotes {event.model} {event.version}, {wrong}"
    seen: set[tuple[str, int, int]] = set()
    for model in evidence.history.definitions.models:
        for read, event in evidence.history.events(PREDICTIONS.of(model).name, PredictionMade):
            if event.answered_by is None or (model, event.answered_by, event.control) in seen:
                continue
            seen.add((model, event.answered_by, event.control))
            wrong = _not_approved(evidence.platform(event.control), model, event.answered_by)
            if wrong:
                yield f"{_at(read)}: {model} {event.answered_by} answered at control position {event.control}, {wrong}"


def _not_approved(platform: Platform, model: str, number: int) -> str:
    version = platform.model(model).versions.get(number)
    if version is None:
        return "which was not registered"
    if version.approved_at is None:
        return "which was not approved"
    if not version.gate_passed and (version.approved_by == AUTO or version.approved_by is None):
        return "which did not pass the gate and was approved by nobody"
    return ""


def one_run_a_drift(evidence: Evidence) -> Iterator[str]:
    """11."""
    seen: dict[str, str] = {}
    for read, run in evidence.history.decided(c.RunRequested):
        if run.drift_id is not None and seen.setdefault(run.drift_id, run.run_id) != run.run_id:
            yield f"{_at(read)}: drift {run.drift_id} led to runs {seen[run.drift_id]} and {run.run_id}"


def one_active_run(evidence: Evidence) -> Iterator[str]:
    """12: a run is active from its request to its first end."""
    active: dict[str, str] = {}
    for read, event in evidence.history.decided(c.RunRequested, c.RunFinished, c.RunFailed):
        if isinstance(event, c.RunRequested):
            if event.model in active:
                yield f"{_at(read)}: run {event.run_id} of {event.model} begins while {active[event.model]} goes on"
            active[event.model] = event.run_id
        elif active.get(event.model) == event.run_id:
            del active[event.model]


def one_version_a_run(evidence: Evidence) -> Iterator[str]:
    """13: and of a run that has finished."""
    seen: dict[str, int] = {}
    finished: set[str] = set()
    for read, event in evidence.history.decided(c.RunFinished, c.VersionRegistered):
        if isinstance(event, c.RunFinished):
            finished.add(event.run_id)
        elif event.run_id not in finished:
            yield f"{_at(read)}: version {event.version} of run {event.run_id}, which has not finished"
        elif seen.setdefault(event.run_id, event.version) != event.version:
            yield f"{_at(read)}: run {event.run_id} made versions {seen[event.run_id]} and {event.version}"


def rollouts_end(evidence: Evidence) -> Iterator[str]:
    """17: nothing of a rollout follows from a tick at or behind its deadline but its end, and that has come."""
    ended = {event.rollout_id for _, event in evidence.history.decided(c.RolloutEnded)}
    started = {event.rollout_id: event for _, event in evidence.history.decided(c.RolloutStarted)}
    for rollout in started.values():
        if rollout.rollout_id not in ended and evidence.history.newest.now_ms(rollout.model) >= rollout.deadline_ms:
            yield f"rollout {rollout.rollout_id} of {rollout.model} goes on behind its deadline {rollout.deadline_ms}"
    for read, event in evidence.history.decided(c.RolloutAdvanced, c.VersionPromoted):
        rollout = started.get(event.rollout_id or "")
        if rollout is None:
            continue
        now_ms = evidence.platform(read.message.control).now_ms(rollout.model)
        if now_ms != NEVER_MS and now_ms >= rollout.deadline_ms:
            yield f"{_at(read)}: rollout {rollout.rollout_id} moves at {now_ms}, behind its deadline"


def rolled_back_stays_away(evidence: Evidence) -> Iterator[str]:
    """18: what was rolled back, or stopped on its way, returns only by a new approval."""
    away: set[tuple[str, int]] = set()
    kinds = (
        c.ModelRolledBack, c.RolloutEnded, c.VersionApproved, c.VersionPromoted, c.RolloutStarted,
    )  # fmt: skip
    for read, event in evidence.history.decided(*kinds):
        match event:
            case c.VersionApproved():
                away.discard((event.model, event.version))
            case c.RolloutEnded() if event.phase is not c.Phase.PROMOTED:
                away.add((event.model, event.candidate))
            case c.RolloutStarted() if (event.model, event.candidate) in away:
                yield f"{_at(read)}: {event.model} {event.candidate} is tried again without a new approval"
            case c.VersionPromoted() | c.ModelRolledBack() if (event.model, event.version) in away:
                yield f"{_at(read)}: {event.model} {event.version} returns without a new approval"
            case _:
                pass
        if isinstance(event, c.ModelRolledBack):
            away.add((event.model, event.former))


def _at(read: Read) -> str:
    where = "control position" if read.tp.topic == "control.v1" else f"{read.tp.topic}/{read.tp.partition} offset"
    return f"{where} {read.position if read.tp.topic == 'control.v1' else read.offset}"
