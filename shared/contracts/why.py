"""Why a version answers, from the log alone: version, approval, verdicts, run, drift, data, each an event of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any

from shared.contracts import control as c
from shared.contracts.contract import Contract
from shared.contracts.envelope import Event, Message
from shared.contracts.fitted_text import fitted_text

Accepted = tuple[int, Message]  # the control position at which an event came into force, and the event


class Link(StrEnum):
    """What a step of the chain is about."""

    LIVE = "live"
    APPROVAL = "approval"
    ROLLOUT = "rollout"
    VERDICT = "verdict"
    VERSION = "version"
    RUN = "run"
    DRIFT = "drift"
    INPUTS = "inputs"
    DATA = "data"


class Reason(Contract):
    """One step of the chain. `position`: count of entries of `control.v1` up to and with its event."""

    link: Link
    position: int
    event_id: str
    time_ms: int
    text: str
    references: tuple[c.Reference, ...] = ()


def why(accepted: Iterable[Accepted], model: str, version: int) -> list[Reason]:
    """The chain from a version back to its data, newest event of each link first; empty: there is no such version."""
    log = [(at, message) for at, message in accepted if _of(message.event, model)]
    registered = _find(log, c.VersionRegistered, lambda e: e.version == version)
    if not registered:
        return []
    run_id = _field(registered[0][1], "run_id")
    rollouts = _find(log, c.RolloutStarted, lambda e: e.candidate == version)
    rollout_ids = {_field(message, "rollout_id") for _, message in rollouts}
    request = _find(log, c.RunRequested, lambda e: e.run_id == run_id)
    drift_id = _field(request[0][1], "drift_id") if request else None
    drift = _find(log, c.DriftDetected, lambda e: e.drift_id == drift_id)[-1:]
    finished = _find(log, c.RunFinished, lambda e: e.run_id == run_id)[-1:]
    chain = (
        (Link.LIVE, _find(log, (c.VersionPromoted, c.ModelRolledBack), lambda e: version in _live(e))),
        (Link.APPROVAL, _find(log, (c.VersionApproved, c.VersionWithdrawn), lambda e: e.version == version)),
        (Link.ROLLOUT, _find(log, (c.RolloutStarted, c.RolloutAdvanced, c.RolloutEnded), _in(rollout_ids))),
        (Link.VERDICT, _find(log, (c.VerdictReached, c.VerdictRevised), _in(rollout_ids))),
        (Link.VERSION, registered),
        (Link.RUN, [*finished, *request]),
        (Link.DRIFT, drift),
        # Of the version that the drift was of, up to then: what may have brought it about.
        (Link.INPUTS, [moved for at, alarm in drift for moved in _moved_before(log, at, _field(alarm, "version"))]),
    )
    reasons = [_reason(link, at, message) for link, found in chain for at, message in found]
    return [*reasons, *(_data(log, at, message) for at, message in finished)]


def _find(log: Sequence[Accepted], kind: Any, matches: Callable[[Any], bool]) -> list[Accepted]:
    """Newest first."""
    return [
        (at, message) for at, message in reversed(log) if isinstance(message.event, kind) and matches(message.event)
    ]


def _moved_before(log: Sequence[Accepted], position: int, version: int) -> list[Accepted]:
    return [(at, moved) for at, moved in _find(log, c.InputsMoved, lambda e: e.version == version) if at < position]


def _in(rollout_ids: set[Any]) -> Callable[[Any], bool]:
    return lambda event: event.rollout_id in rollout_ids


def _of(event: Event, model: str) -> bool:
    if isinstance(event, c.SegmentWritten):
        return event.kind == "outcomes" and event.subject == model
    return getattr(event, "model", None) == model


def _live(event: c.VersionPromoted | c.ModelRolledBack) -> tuple[int | None, int | None]:
    return event.version, event.former


def _field(message: Message, name: str) -> Any:
    return getattr(message.event, name)


def _reason(link: Link, position: int, message: Message) -> Reason:
    event = message.event
    artifact = (event.artifact,) if isinstance(event, c.VersionRegistered) else ()
    return Reason(
        link=link,
        position=position,
        event_id=message.id,
        time_ms=message.time_ms,
        text=said(event),
        references=artifact,
    )


def _data(log: Sequence[Accepted], position: int, message: Message) -> Reason:
    """The outcomes that the version was fitted on, and the segments that hold them."""
    run = message.event
    assert isinstance(run, c.RunFinished)
    segments = [
        event.segment
        for _, event in ((at, m.event) for at, m in log)
        if isinstance(event, c.SegmentWritten)
        and event.first < run.fitted_to
        and event.first + event.rows > run.fitted_from
    ]
    judged = run.judged_from
    measured = "" if judged is None else f"those from {judged} judged it before it was fitted on them, "
    text = (
        f"fitted on outcomes [{run.fitted_from}, {run.fitted_to}) (window {run.window}), {measured}"
        f"dataset sha256 {run.dataset_sha256}; archived in {len(segments)} segments"
    )
    return Reason(
        link=Link.DATA,
        position=position,
        event_id=message.id,
        time_ms=message.time_ms,
        text=text,
        references=tuple(segments),
    )


def said(event: Event) -> str:
    """An event of the chain in words."""
    match event:
        case c.VersionPromoted() as e:
            instead = f" in place of version {e.former}" if e.former is not None else ""
            return f"version {e.version} answers{instead}, by {e.by}"
        case c.ModelRolledBack() as e:
            return f"version {e.former} was rolled back to version {e.version} by {e.by}: {e.reason}"
        case c.VersionApproved() as e:
            return f"version {e.version} approved by {e.by}"
        case c.VersionWithdrawn() as e:
            return f"version {e.version} withdrawn: {e.reason}"
        case c.VersionRegistered() as e:
            return f"version {e.version} {'passed' if e.gate_passed else 'did not pass'} the gate: {e.reason}"
        case c.DriftDetected(monitor="saving") as e:
            return _paying(e)
        case c.DriftDetected() as e:
            by = f" by {e.detector}" if e.detector else ""
            return (
                f"alarm{by} on the {e.monitor} of version {e.version} at outcome {e.position}: {e.mean_since:.4g} "
                f"since {e.since}, {e.reference:.4g} before{_moved_most(e)}{_computed(e)}"
            )
        case c.InputsMoved() as e:
            moved = "; ".join(_moved(one) for one in e.features if one.feature in e.told)
            return (
                f"inputs moved under version {e.version}, scored records {e.first} to {e.position - 1}: {moved}; "
                f"evidence {e.evidence:.4g} of {e.threshold:.4g}"
            )
        case c.RunRequested() as e:
            return f"run requested ({e.reason}) at outcome {e.position}, against version {e.champion or 'none'}"
        case c.RunFinished() as e:
            return f"run finished: {fitted_text(e.family, e.parameters)}, seed {e.seed}, {e.duration_s:.1f} s"
        case _:
            return _said_of_rollout(event)


def _paying(drift: c.DriftDetected) -> str:
    """What was missed, and by what it was told."""
    told = drift.saving
    cost = "" if told is None else f" of a cost of {told.cost:.4g}"
    if told is not None and told.by == "alarm":
        by = "half of what was lost beyond what is normal"
    else:
        by = f"loss {drift.mean_since:.4g}, {drift.reference:.4g} with a correction"
    return (
        f"retraining pays at outcome {drift.position}: version {drift.version} has missed {drift.evidence:.4g}{cost} "
        f"since {drift.since}, {by}{_moved_most(drift)}"
    )


def _moved_most(drift: c.DriftDetected) -> str:
    return f"; moved most: {', '.join(s.feature for s in drift.shifts[:3])}" if drift.shifts else ""


def _computed(drift: c.DriftDetected) -> str:
    """What it takes to compute the alarm again."""
    figures = drift.figures
    if figures is None:
        return ""
    block = f", {figures.block} at a time" if figures.block > 1 else ""
    return (
        f"; evidence {drift.evidence:.4g} of {figures.threshold:.4g} over {figures.count} outcomes from "
        f"{figures.first} on{block}, tested against {figures.null_mean:.4g}"
    )


def _moved(one: c.MovedInput) -> str:
    seen = "" if one.recent is None else f" ({one.reference} -> {one.recent})"
    return (
        f"{one.feature} {one.statistic}, share {one.share:.0%}: {one.mean:.4g} over {one.count}, "
        f"{one.reference_mean:.4g} before{seen}"
    )


def _said_of_rollout(event: Event) -> str:
    match event:
        case c.RolloutStarted() as e:
            return f"rollout of version {e.candidate} beside version {e.champion}"
        case c.RolloutAdvanced() as e:
            return f"{e.phase} {e.step}, {e.share:.0%} of live traffic"
        case c.RolloutEnded() as e:
            return f"rollout {e.phase}: {e.reason}"
        case c.VerdictReached() as e:
            return _said_of_verdict(e)
        case c.VerdictRevised() as e:
            return _said_of_revision(e)
        case _:
            return type(event).__name__


def _said_of_verdict(e: c.VerdictReached) -> str:
    within = f" (in [{e.lower:+.4g}, {e.upper:+.4g}])" if e.lower is not None and e.upper is not None else ""
    losses = ""
    if e.champion_loss is not None and e.candidate_loss is not None:
        losses = f" ({e.candidate_loss:.4g} - {e.champion_loss:.4g})"
    span = "" if e.first_position is None else f", from {e.first_position} to {e.last_position}"
    needed = "" if e.threshold is None else f" of {e.threshold:.4g} needed"
    left_out = f", {e.invalid} left out" if e.invalid else ""
    return (
        f"{e.kind} (step {e.step}): mean loss difference {_difference(e)}{within}{losses} over {e.outcomes} outcomes"
        f"{span}{left_out}, e-value {e.e_value:.4g}, of harm {e.e_value_harm:.4g}{needed}"
    )


def _difference(e: c.VerdictReached | c.VerdictRevised) -> str:
    return "none" if e.mean_difference is None else f"{e.mean_difference:+.4g}"


def _said_of_revision(e: c.VerdictRevised) -> str:
    return (
        f"revised from {e.before} to {e.after} by {e.revisions} corrected outcomes, the newest {e.last_record_id} by "
        f"label {e.label_id}: mean loss difference {_difference(e)} (in [{e.lower:+.4g}, {e.upper:+.4g}]) over "
        f"{e.outcomes} outcomes up to {e.position}, e-value {e.e_value:.4g}, of harm {e.e_value_harm:.4g} "
        f"of {e.threshold:.4g} needed"
    )
