"""What must hold of a control log, whatever was decided: invariants by their numbers in the design, for one model."""

from __future__ import annotations

import math

from services.registry.going_live import LABELS
from shared.contracts import control as c
from shared.contracts.control import Phase
from shared.contracts.envelope import Event
from shared.contracts.platform import ModelState
from tests import builders as b
from tests.unit.control_plane import ControlPlane


def violations(plane: ControlPlane) -> list[str]:
    """Every violation, with its number and the position of the event."""
    found: list[str] = []
    states = [platform.model(b.MODEL) for platform in plane.platforms]
    for at, event in enumerate(plane.events):
        before, past = states[at], plane.events[:at]
        found += [f"{text} (entry {at}: {type(event).__name__})" for text in _violated(event, before, past)]
    return found


def _violated(event: Event, before: ModelState, past: list[Event]) -> list[str]:
    match event:
        case c.RunRequested():
            requests = [e for e in past if isinstance(e, c.RunRequested)]
            drifts = {e.drift_id for e in requests if e.drift_id is not None}
            return _said(
                ("11: a drift event led to two runs", event.drift_id in drifts),
                ("12: two active runs", before.run is not None),
                ("a run's id twice", event.run_id in {e.run_id for e in requests}),
            )
        case c.VersionRegistered():
            runs = {e.run_id for e in past if isinstance(e, c.VersionRegistered)}
            return _said(
                ("13: a run made two versions", event.run_id in runs),
                ("versions are not numbered from 1", event.version != len(runs) + 1),
            )
        case c.RolloutStarted():
            rollouts = {e.rollout_id for e in past if isinstance(e, c.RolloutStarted)}
            versions = [e for e in past if isinstance(e, c.VersionRegistered)]
            compared = {e.gate.against for e in versions if e.version == event.candidate}
            return _said(
                ("two rollouts at a time", before.rollout is not None),
                ("the rollout is not beside the champion", event.champion != before.champion),
                ("a rollout's id twice", event.rollout_id in rollouts),
                ("2: gated beside another champion", event.champion not in compared),
                *_may_return(event.candidate, past),
                *_may_answer(event.candidate, past),
            )
        case c.VersionPromoted():
            return _said(
                ("1: the former is not the champion", event.former != before.champion),
                *_may_answer(event.version, past),
                *_may_return(event.version, past),
                ("16: promoted without figures", not _proved(event, past)),
            )
        case c.ModelRolledBack():
            return _said(
                ("1: who is rolled back is not the champion", event.former != before.champion),
                *_may_answer(event.version, past),
                *_may_return(event.version, past),
            )
        case _:
            return []


def _said(*checks: tuple[str, bool]) -> list[str]:
    return [text for text, violated in checks if violated]


def _may_answer(version: int, past: list[Event]) -> list[tuple[str, bool]]:
    """2: registered, gated and approved before; what did not pass the gate only by a person."""
    passed = {e.version: e.gate_passed for e in past if isinstance(e, c.VersionRegistered)}
    approvals = [e.by for e in past if isinstance(e, c.VersionApproved) and e.version == version]
    gated = passed.get(version, False) or any(by not in LABELS for by in approvals)
    return [
        ("2: not registered", version not in passed),
        ("2: not approved", not approvals),
        ("2: not gated", not gated),
    ]


def _may_return(version: int, past: list[Event]) -> list[tuple[str, bool]]:
    """18: after a roll-back, a rejection or a withdrawal only by a person's approval."""
    out = False
    for event in past:
        match event:
            case c.RolloutEnded(candidate=candidate, phase=phase) if candidate == version:
                out = phase is not Phase.PROMOTED
            case c.ModelRolledBack(former=former) if former == version:
                out = True
            case c.VersionWithdrawn(version=withdrawn) if withdrawn == version:
                out = True
            case c.VersionApproved(version=approved, by=by) if approved == version and by not in LABELS:
                out = False
            case _:
                pass
    return [("18: it was rolled back, and nobody approved it anew", out)]


def _proved(promoted: c.VersionPromoted, past: list[Event]) -> bool:
    """By the first gate, by policy, by a person; otherwise by a verdict that names the rollout and has figures."""
    if promoted.by == "first":
        return promoted.former is None
    if promoted.by != "rollout":
        approvals = [e.by for e in past if isinstance(e, c.VersionApproved) and e.version == promoted.version]
        return promoted.by == "every" or promoted.by == approvals[-1]
    return any(
        isinstance(e, c.VerdictReached)
        and (e.verdict_id, e.rollout_id) == (promoted.verdict_id, promoted.rollout_id)
        and (e.candidate, e.champion) == (promoted.version, promoted.former)
        and e.kind is c.VerdictKind.BETTER
        and e.outcomes > 0
        and e.mean_difference is not None
        and math.isfinite(e.mean_difference)
        for e in past
    )
