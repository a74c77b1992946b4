"""Of promotions: 16, from control.v1 and from the outcomes that the figures speak of."""

from __future__ import annotations

import math
from collections.abc import Iterator

from shared.contracts import control as c
from shared.contracts.definitions import Model, Policy
from shared.contracts.flow import LabelStatus, OutcomeMatured
from shared.contracts.platform import ModelState, Platform, RolloutState
from shared.contracts.topics import OUTCOMES
from tests.scenarios.evidence import Evidence
from tests.scenarios.topic_history import Read

GATE_ROWS = 30
ROUNDING = 1 - 1e-9


def promotions_have_figures(evidence: Evidence) -> Iterator[str]:
    """16: enough, fresh, finite and current; but by `every` and by a person, who are named."""
    verdicts = {event.verdict_id: (read, event) for read, event in evidence.history.decided(c.VerdictReached)}
    asked: dict[tuple[str, int, str], int] = {}
    for read, request in evidence.history.decided(c.PromoteVersion):
        asked.setdefault((request.model, request.version, request.by), read.position)
    for read, event in evidence.history.decided(c.VersionPromoted):
        platform = evidence.platform(read.offset)
        match event.by:
            case "rollout":
                wrong = _by_rollout(evidence, platform, event, verdicts.get(event.verdict_id or ""), read)
            case "first":
                wrong = _gate_is_wrong(platform.model(event.model), event.version)
            case "every":
                policy = platform.definitions.models[event.model].retrain.policy
                wrong = "" if policy is Policy.EVERY else f"by every, but its policy is {policy}"
            case person:
                at = asked.get((event.model, event.version, person))
                wrong = "" if at is not None and at < read.position else f"by {person}, who did not ask for it before"
        if wrong:
            yield f"control position {read.position}: {event.model} {event.version} was promoted {wrong}"


def _by_rollout(
    evidence: Evidence,
    platform: Platform,
    event: c.VersionPromoted,
    found: tuple[Read, c.VerdictReached] | None,
    read: Read,
) -> str:
    rollout, model = platform.model(event.model).rollout, platform.definitions.models[event.model]
    if rollout is None or rollout.rollout_id != event.rollout_id:
        return f"by rollout {event.rollout_id}, which is not in progress"
    if found is None:
        return f"by verdict {event.verdict_id}, which nobody reached"
    at, verdict = found
    if not rollout.started_at < at.position < read.position or verdict.rollout_id != rollout.rollout_id:
        return "by a verdict on another rollout, or from before it"
    if verdict.kind is not c.VerdictKind.BETTER or verdict.step < len(model.rollout.steps):
        return f"by a verdict that says {verdict.kind} of step {verdict.step}"
    return (
        _not_enough(model, verdict)
        or _not_fresh(evidence.platform(at.position), model, verdict)
        or _not_current(platform.model(event.model), rollout, event, verdict)
        or _not_of_the_log(evidence, rollout, verdict)
    )


def _not_enough(model: Model, verdict: c.VerdictReached) -> str:
    """Finite, evidence of 1/alpha, and so many outcomes that they can have led to it: each doubles it at most."""
    figures = (verdict.e_value, math.nan if verdict.mean_difference is None else verdict.mean_difference)
    if not all(map(math.isfinite, figures)) or verdict.outcomes < 1:
        return f"by figures {figures} over {verdict.outcomes} outcomes"
    if verdict.e_value < ROUNDING / model.rollout.alpha:
        return f"at evidence {verdict.e_value}, below 1/{model.rollout.alpha}"
    if verdict.outcomes < math.log2(verdict.e_value):
        return f"at evidence {verdict.e_value}, which {verdict.outcomes} outcomes cannot give"
    return ""


def _not_fresh(then: Platform, model: Model, verdict: c.VerdictReached) -> str:
    """By the model's clock: the newest outcome fell due no longer ago than its labels take to expire."""
    sources = (then.definitions.sources[name] for name in (model.scores, model.label.source))
    may_ms = model.label.expires_after + max(source.time.allowed_lateness for source in sources)
    age_ms = then.now_ms(model.name) - verdict.last_time_ms
    return "" if age_ms <= may_ms else f"by figures that were {age_ms} ms old, more than {may_ms}"


def _not_current(state: ModelState, rollout: RolloutState, event: c.VersionPromoted, verdict: c.VerdictReached) -> str:
    compared = (verdict.champion, verdict.candidate, verdict.champion_sha256, verdict.candidate_sha256)
    current = (
        rollout.champion, event.version,
        state.versions[rollout.champion or 0].artifact.sha256, state.versions[event.version].artifact.sha256,
    )  # fmt: skip
    return "" if compared == current else f"by figures of {compared}, while {current} are current"


def _not_of_the_log(evidence: Evidence, rollout: RolloutState, verdict: c.VerdictReached) -> str:
    """The outcomes of the rollout that both versions answered, in the order of decision, up to the one named last."""
    pairs = sorted(
        (read.message.time_ms, event.prediction.record_id or "")
        for read, event in evidence.history.events(OUTCOMES.of(verdict.model).name, OutcomeMatured)
        if event.prediction.rollout_id == rollout.rollout_id
        and event.status is not LabelStatus.UNLABELLED
        and {rollout.champion, rollout.candidate} <= event.prediction.outputs.keys()
    )
    last = (verdict.last_time_ms, verdict.last_record_id)
    judged = [pair for pair in pairs if pair <= last]
    if not judged or judged[-1] != last:
        return f"by figures up to outcome {last}, which is none of rollout {rollout.rollout_id}"
    counted = verdict.outcomes + verdict.invalid
    return "" if len(judged) == counted else f"by figures of {counted} outcomes, where the log has {len(judged)}"


def _gate_is_wrong(state: ModelState, number: int) -> str:
    gate = state.versions[number].gate
    if state.champion is not None:
        return f"as the first, while version {state.champion} answers"
    if gate.against is not None:
        return f"as the first, on a gate against version {gate.against}"
    if not all(map(math.isfinite, (gate.candidate_loss, gate.reference_loss))) or gate.rows < GATE_ROWS:
        return f"on a gate of {gate.rows} rows with losses {gate.candidate_loss} and {gate.reference_loss}"
    return "" if gate.candidate_loss < gate.reference_loss else "though a constant does as well"
