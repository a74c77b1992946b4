"""Of decisions: 1, 2, 11, 12, 13, 16, 17, 18. All of them from control.v1, 2 with the predictions beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from shared.contracts import control as c
from shared.contracts.definitions import Policy
from shared.contracts.envelope import NEVER_MS
from shared.contracts.flow import PredictionMade
from shared.contracts.platform import ModelState, Platform
from shared.contracts.topics import PREDICTIONS
from tests.scenarios.evidence import Evidence
from tests.scenarios.topic_history import Read

FIRST, EVERY, ROLLOUT, AUTO = "first", "every", "rollout", "auto"
LABELS = frozenset({FIRST, EVERY, ROLLOUT, AUTO, "watch"})
GATE_ROWS = 30


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


def promotions_have_figures(evidence: Evidence) -> Iterator[str]:
    """16: enough, fresh, finite and current; but by `every` and by a person, who are named."""
    verdicts = {event.verdict_id: (read, event) for read, event in evidence.history.decided(c.VerdictReached)}
    asked = {(e.model, e.version, e.by): read.position for read, e in evidence.history.decided(c.PromoteVersion)}
    for read, event in evidence.history.decided(c.VersionPromoted):
        platform = evidence.platform(read.offset)
        match event.by:
            case "rollout":
                wrong = _verdict_is_wrong(platform, event, verdicts.get(event.verdict_id or ""), read)
            case "first":
                wrong = _gate_is_wrong(platform.model(event.model), event.version)
            case "every":
                policy = platform.definitions.models[event.model].retrain.policy
                wrong = "" if policy is Policy.EVERY else f"by every, but its policy is {policy}"
            case person:
                at = asked.get((event.model, event.version, person))
                wrong = "" if at is not None and at < read.position else f"by {person}, who did not ask for it before"
        if wrong:
            yield f"{_at(read)}: {event.model} {event.version} was promoted {wrong}"


def _verdict_is_wrong(
    platform: Platform, event: c.VersionPromoted, found: tuple[Read, c.VerdictReached] | None, read: Read
) -> str:
    rollout, model = platform.model(event.model).rollout, platform.definitions.models[event.model]
    if rollout is None or rollout.rollout_id != event.rollout_id:
        return f"by rollout {event.rollout_id}, which is not in progress"
    if found is None:
        return f"by verdict {event.verdict_id}, which nobody reached"
    at, verdict = found
    versions = platform.model(event.model).versions
    figures = (verdict.e_value, verdict.mean_difference if verdict.mean_difference is not None else math.nan)
    if not rollout.started_at < at.position < read.position or verdict.rollout_id != rollout.rollout_id:
        return "by a verdict on another rollout, or from before it"
    if verdict.kind is not c.VerdictKind.BETTER or verdict.step < len(model.rollout.steps):
        return f"by a verdict that says {verdict.kind} of step {verdict.step}"
    if not all(map(math.isfinite, figures)) or verdict.outcomes < 1:
        return f"by figures {figures} over {verdict.outcomes} outcomes"
    if verdict.e_value < (1 - 1e-9) / model.rollout.alpha:
        return f"at evidence {verdict.e_value}, below 1/{model.rollout.alpha}"
    compared = (verdict.champion, verdict.candidate, verdict.champion_sha256, verdict.candidate_sha256)
    current = (
        rollout.champion, event.version,
        versions[rollout.champion or 0].artifact.sha256, versions[event.version].artifact.sha256,
    )  # fmt: skip
    return "" if compared == current else f"by figures of {compared}, while {current} are current"


def _gate_is_wrong(state: ModelState, number: int) -> str:
    gate = state.versions[number].gate
    if state.champion is not None:
        return f"as the first, while version {state.champion} answers"
    if not all(map(math.isfinite, (gate.candidate_loss, gate.reference_loss))) or gate.rows < GATE_ROWS:
        return f"on a gate of {gate.rows} rows with losses {gate.candidate_loss} and {gate.reference_loss}"
    return "" if gate.candidate_loss < gate.reference_loss else "though a constant does as well"


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
