"""The platform's state as JSON: what is in force, each model's versions, and the state at any control position."""

from __future__ import annotations

from typing import Any

from shared.contracts.definitions import Model
from shared.contracts.envelope import NEVER_MS, rfc3339
from shared.contracts.platform import ModelState, Platform, VersionState


def definitions_view(platform: Platform) -> dict[str, Any]:
    """The definitions in force, in an order in which each comes after what it names, and since which position."""
    definitions = platform.definitions
    declared = (*definitions.sources.values(), *definitions.views.values(), *definitions.models.values())
    return {"position": platform.definitions_at, "definitions": [d.model_dump(mode="json") for d in declared]}


def platform_view(platform: Platform) -> dict[str, Any]:
    """Everything that was decided by a control position."""
    return {
        "position": platform.position,
        "log_id": platform.log_id,
        "definitions_at": platform.definitions_at,
        "definitions": definitions_view(platform)["definitions"],
        "ticks": {clock: rfc3339(at) for clock, at in platform.ticks.items()},
        "models": {name: model_view(platform, definition) for name, definition in platform.definitions.models.items()},
        "segments": [
            {"kind": kind, "subject": subject, "segments": len(written), "rows": sum(s.rows for s in written)}
            for (kind, subject), written in sorted(platform.segments.items())
        ],
    }


def model_view(platform: Platform, definition: Model) -> dict[str, Any]:
    """A model's versions, who answers, how well as far as it was known then, the rollout and the run in progress."""
    state, now_ms = platform.model(definition.name), platform.now_ms(definition.name)
    rollout, run = state.rollout, state.run
    return {
        "name": definition.name,
        "policy": definition.retrain.policy,
        "now": None if now_ms == NEVER_MS else rfc3339(now_ms),
        "champion": state.champion,
        "former": state.former,
        "in_play": state.in_play,
        "outcomes_decided": state.position,
        "labelled": state.labelled,
        "minimum_rows": definition.training.minimum_rows,
        "rollout": None
        if rollout is None
        else {
            "rollout_id": rollout.rollout_id,
            "candidate": rollout.candidate,
            "champion": rollout.champion,
            "phase": rollout.phase,
            "step": rollout.step,
            "share": rollout.share,
            "deadline": rfc3339(rollout.deadline_ms),
            "figures": _rollout_figures(state),
        },
        "run": None
        if run is None
        else {"run_id": run.run_id, "reason": run.reason, "fraction": run.fraction, "doing": run.doing},
        "quality": state.quality and state.quality.model_dump(mode="json", exclude={"model", "rollout"}),
        "versions": [_version_view(state, version) for version in state.versions.values()],
    }


def _rollout_figures(state: ModelState) -> dict[str, Any] | None:
    """Where the rollout in progress stood at the newest report."""
    figures = state.quality.rollout if state.quality else None
    if figures is None or state.rollout is None or figures.rollout_id != state.rollout.rollout_id:
        return None
    return figures.model_dump(mode="json", exclude={"rollout_id"})


def _version_view(state: ModelState, version: VersionState) -> dict[str, Any]:
    return {
        "version": version.number,
        "status": _status(state, version),
        "run_id": version.run_id,
        "artifact": version.artifact.model_dump(mode="json"),
        "gate_passed": version.gate_passed,
        "gate": version.gate.model_dump(mode="json"),
        "registered_at": version.registered_at,
        "approved_at": version.approved_at,
        "approved_by": version.approved_by,
        "classes": version.classes,
    }


def _status(state: ModelState, version: VersionState) -> str:
    number = version.number
    if number == state.champion:
        return "champion"
    if state.rollout is not None and number == state.rollout.candidate:
        return f"candidate ({state.rollout.phase})"
    if number == state.former:
        return "on watch"
    if number in state.pending:
        return "on its way"
    if number == state.for_a_person:
        return "waits for approval"
    if not version.gate_passed:
        return "stopped at the gate"
    return "not approved" if version.approved_at is None else "retired"
