"""What came of each run of a course after the first version: asked for, fitted, judged by the gate, rolled out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.contracts import control as c
from shared.contracts.envelope import Message

_REJECTING = (c.Phase.REJECTED, c.Phase.ROLLED_BACK, c.Phase.EXPIRED)


class Outcome(StrEnum):
    """What became of a retraining. ROLLED_BACK: promoted, and replaced by its former version while on watch.

    UNFINISHED: still in its rollout when the records end."""

    FAILED = "failed"
    REFUSED = "refused by the gate"
    REJECTED = "rejected in rollout"
    EXPIRED = "expired in rollout"
    WITHDRAWN = "withdrawn"
    PROMOTED = "promoted"
    ROLLED_BACK = "promoted, rolled back on watch"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Retraining:
    """One run. `position`: outcomes decided before it. `monitor`: of the alarm that led to it. `window`, `fitted` and
    `gate` are None where the fit failed; `reason`: why it failed, was refused or rejected."""

    position: int
    time_ms: int
    asked: c.RunReason
    monitor: str | None
    version: int | None
    window: str | None
    fitted: tuple[int, int] | None
    gate: c.GateFigures | None
    outcome: Outcome
    reason: str | None


def retrainings(messages: Sequence[Message]) -> list[Retraining]:
    """In their order; runs that were asked for because there was no version are none of them."""
    found = _Found(messages)
    return [
        found.retraining(message.event, message.time_ms)
        for message in messages
        if isinstance(message.event, c.RunRequested) and message.event.reason is not c.RunReason.BOOTSTRAP
    ]


class _Found:
    """The events that tell what came of a run, by run and by version."""

    def __init__(self, messages: Sequence[Message]) -> None:
        events = [message.event for message in messages]
        self._monitors = {e.drift_id: e.monitor for e in events if isinstance(e, c.DriftDetected)}
        self._finished = {e.run_id: e for e in events if isinstance(e, c.RunFinished)}
        self._failed = {e.run_id: e.reason for e in events if isinstance(e, c.RunFailed)}
        self._registered = {e.run_id: e for e in events if isinstance(e, c.VersionRegistered)}
        self._ended = {e.candidate: e for e in events if isinstance(e, c.RolloutEnded)}
        self._withdrawn = {e.version: e.reason for e in events if isinstance(e, c.VersionWithdrawn)}
        self._promoted = {e.version for e in events if isinstance(e, c.VersionPromoted)}
        self._returned = {e.former: e.reason for e in events if isinstance(e, c.ModelRolledBack)}

    def retraining(self, asked: c.RunRequested, time_ms: int) -> Retraining:
        run, version = self._finished.get(asked.run_id), self._registered.get(asked.run_id)
        outcome, reason = self._outcome(asked.run_id, version)
        return Retraining(
            position=asked.position,
            time_ms=time_ms,
            asked=asked.reason,
            monitor=self._monitors.get(asked.drift_id or ""),
            version=None if version is None else version.version,
            window=None if run is None else run.window,
            fitted=None if run is None else (run.fitted_from, run.fitted_to),
            gate=None if run is None else run.gate,
            outcome=outcome,
            reason=reason,
        )

    def _outcome(self, run_id: str, version: c.VersionRegistered | None) -> tuple[Outcome, str | None]:
        if version is None:
            return Outcome.FAILED, self._failed.get(run_id)
        number = version.version
        if not version.gate_passed:
            return Outcome.REFUSED, version.reason
        if number in self._returned:
            return Outcome.ROLLED_BACK, self._returned[number]
        if number in self._promoted:
            return Outcome.PROMOTED, None
        ended = self._ended.get(number)
        if ended is not None and ended.phase in _REJECTING:
            return Outcome.EXPIRED if ended.phase is c.Phase.EXPIRED else Outcome.REJECTED, ended.reason
        if number in self._withdrawn:
            return Outcome.WITHDRAWN, self._withdrawn[number]
        return Outcome.UNFINISHED, None
