"""What `control.v1` tells of each model beyond its newest state: runs, promotions, rollbacks, alarms, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shared.contracts import control as c
from shared.contracts.envelope import Event, Message, rfc3339
from shared.runtime.history import ControlHistory


@dataclass(slots=True)
class Run:
    """One run: what was asked for, what it made of it. `status`: waiting, running, finished or failed."""

    requested: c.RunRequested
    control: int
    time_ms: int
    status: str = "waiting"
    worker: str | None = None
    fraction: float = 0.0
    doing: str = ""
    finished: c.RunFinished | None = None
    failed: c.RunFailed | None = None
    version: int | None = None
    gate: str | None = None

    def shown(self) -> dict[str, Any]:
        """The run as JSON; figures of what is not known yet are null."""
        finished, failed, asked = self.finished, self.failed, self.requested
        return {
            "run_id": asked.run_id,
            "model": asked.model,
            "reason": asked.reason,
            "status": self.status,
            "position": asked.position,
            "since": asked.since,
            "drift_id": asked.drift_id,
            "champion": asked.champion,
            "control": self.control,
            "time": rfc3339(self.time_ms),
            "worker": self.worker,
            "fraction": self.fraction,
            "doing": self.doing,
            "family": finished.family if finished else None,
            "parameters": finished.parameters if finished else None,
            "metrics": finished.metrics if finished else None,
            "fitted_from": finished.fitted_from if finished else None,
            "fitted_to": finished.fitted_to if finished else None,
            "window": finished.window if finished else None,
            "candidate_loss": finished.gate.candidate_loss if finished else None,
            "reference_loss": finished.gate.reference_loss if finished else None,
            "artifact_sha256": finished.artifact.sha256 if finished else None,
            "duration_s": finished.duration_s if finished else failed.duration_s if failed else None,
            "failure": failed.reason if failed else None,
            "version": self.version,
            "gate": self.gate,
        }


@dataclass(slots=True)
class ModelStory:
    """Events of one model that have happened, as JSON; `defined_at`: the control position of its first definition."""

    defined_at: int
    runs: dict[str, Run] = field(default_factory=dict[str, Run])
    first_promotion: dict[str, Any] | None = None
    retrainings: int = 0
    promotions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rollbacks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    alarms: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    moved: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rollouts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    quality: c.QualityMeasured | None = None
    verdict: c.VerdictReached | None = None
    revised: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


class ControlStory:
    """A second fold of the log, caught up with whenever somebody asks."""

    def __init__(self, history: ControlHistory) -> None:
        self._history = history
        self._position = 0
        self._models: dict[str, ModelStory] = {}

    def models(self) -> dict[str, ModelStory]:
        """Every model that was ever defined, up to the newest entry. The caller holds the read model's lock."""
        entries = self._history.entries
        while self._position < self._history.newest.position:
            message = entries[self._position].message
            self._position += 1
            if message is not None:
                self._take(message, self._position)
        return self._models

    def _take(self, message: Message, position: int) -> None:
        event = message.event
        if isinstance(event, c.DefinitionsApplied):
            for definition in event.definitions:
                if definition.kind == "Model":
                    self._models.setdefault(definition.name, ModelStory(position))
            return
        story = self._models.get(getattr(event, "model", ""))
        if story is None:
            return
        _take_run(story, message, position)
        _take_decision(story, event, {"control": position, "time": rfc3339(message.time_ms)})


def _take_run(story: ModelStory, message: Message, position: int) -> None:
    event = message.event
    if isinstance(event, c.RunRequested):
        story.runs.setdefault(event.run_id, Run(event, position, message.time_ms))
        return
    run = story.runs.get(getattr(event, "run_id", ""))
    if run is None:
        return
    match event:
        case c.RunStarted(worker=worker) if run.status == "waiting":
            run.status, run.worker = "running", worker
        case c.RunProgressed(fraction=fraction, doing=doing) if run.status in ("waiting", "running"):
            run.status, run.fraction, run.doing = "running", fraction, doing
        case c.RunFinished() if run.status in ("waiting", "running"):
            run.status, run.finished, run.fraction, run.doing = "finished", event, 1.0, ""
            story.retrainings += story.first_promotion is not None
        case c.RunFailed() if run.status in ("waiting", "running"):
            run.status, run.failed, run.doing = "failed", event, ""
        case c.VersionRegistered(version=version, reason=reason):
            run.version, run.gate = version, reason
        case _:
            pass


def _take_decision(story: ModelStory, event: Event, at: dict[str, Any]) -> None:
    match event:
        case c.VersionPromoted():
            promotion = {**at, "version": event.version, "former": event.former, "by": event.by}
            if story.first_promotion is None:
                story.first_promotion = promotion
            else:
                story.promotions.append(promotion)
        case c.ModelRolledBack():
            story.rollbacks.append(
                {**at, "version": event.former, "to": event.version, "by": event.by, "reason": event.reason}
            )
        case c.RolloutEnded():
            ended = {**at, "version": event.candidate, "phase": event.phase, "reason": event.reason}
            story.rollouts.append(ended)
            # Before it was live a candidate is rejected; once it had traffic it is rolled back.
            if event.phase is c.Phase.ROLLED_BACK:
                story.rollbacks.append({**at, "version": event.candidate, "to": None, "by": "rollout"} | ended)
        case c.DriftDetected():
            alarm = event.model_dump(mode="json", exclude={"model"})
            story.alarms.append({**at, **alarm})
        case c.InputsMoved():
            story.moved.append({**at, **event.model_dump(mode="json", exclude={"model"})})
        case c.QualityMeasured():
            story.quality = event
        case c.VerdictReached():
            story.verdict = event
        case c.VerdictRevised():
            story.revised.append({**at, **event.model_dump(mode="json", exclude={"model"})})
        case _:
            pass
