"""The decisions alone: outcomes in, control events out, in one process, with the handlers that the services run.

Monitoring's judge, training's schedule with real fits, and the registry, over a model's records and labels that are
known beforehand. What lies between them on Kafka (tasks, marks, joins, replicas) is left out: a fit takes no time, and
whatever is decided counts from the next record on, as in a replay in lockstep. `headrace backtest policy` and the
benchmark of the decisions play whole streams with it in seconds.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.monitoring.decided_order import MATURED, SCORED
from services.monitoring.judge import Judge
from services.monitoring.judge_state import JudgeState
from services.registry.decide import decide
from services.serving.split import split_of, subject_of
from services.training.fit_worker import run_finished
from services.training.job import FAILURES, DecidedRow, FitJob, FitResult, Report, failure_reason
from services.training.schedule import schedule
from shared.contracts import control as c
from shared.contracts.definitions import Clock, Model, Published
from shared.contracts.envelope import Event, Message
from shared.contracts.flow import LabelStatus
from shared.contracts.identity import derived_id
from shared.contracts.platform import Platform, VersionState
from shared.contracts.reference import Reference
from shared.inputs.vector import InputPlan
from shared.runtime.onnx_model import OnnxModel
from shared.runtime.step import Context, Due, Publish

Fits = Callable[[FitJob, Report], FitResult]
REPLICA = "backtest"
# Records between two ticks of the model's clock.
TICK_RECORDS = 10
_AHEAD = 2_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record of the model with its label: scored at `scored_ms`, decided at `due_ms`, not before that."""

    record_id: str
    scored_ms: int
    due_ms: int
    inputs: dict[str, float | str | None]
    label: float | str | None
    entity: str = ""


@dataclass(slots=True)
class Course:
    """What came of it. `answers`: by record, which version answered and with what; None before the first.

    `artifacts`: of every version that was registered, whether it passed the gate or not."""

    events: list[Message] = field(default_factory=list[Message])
    artifacts: dict[int, bytes] = field(default_factory=dict[int, bytes])
    answers: list[tuple[int, tuple[float, ...]] | None] = field(
        default_factory=list[tuple[int, tuple[float, ...]] | None]
    )

    def of(self, kind: type[Event]) -> list[Any]:
        """The events of one kind, in order."""
        return [message.event for message in self.events if isinstance(message.event, kind)]


class DecisionLoop:
    """One model of these definitions. `fits` does a run's job, as services.training.fit_job.run_job does.

    `at_once`: what passes the gate answers at once, promoted by command, so that what the rollout adds can be told.
    """

    def __init__(self, definitions: Sequence[Published], model: str, fits: Fits, *, at_once: bool = False) -> None:
        self.course = Course()
        self._at_once = at_once
        self._name, self._fits = model, fits
        self._platform = Platform()
        self._judge, self._judged = Judge(), JudgeState()
        self._steps = {step.name: step for step in (schedule(), decide())}
        self._states: dict[str, Any] = {}
        self._queue: deque[Message] = deque()
        self._artifacts: dict[str, bytes] = {}
        self._ready: set[int] = set()
        self._decided: list[DecidedRow] = []
        self._say(c.PlatformFounded(log_id=REPLICA), 0)
        self._say(c.DefinitionsApplied(request_id=REPLICA, definitions=tuple(definitions), by=REPLICA), 0)
        self._say(c.ReplicaSeen(replica=REPLICA, figures={}), 0)
        found = self._platform.definitions
        self._model: Model = found.models[model]
        self._plan = InputPlan.of(self._model, found).names_and_kinds
        [self._task] = [
            s for s in found.tasks if s.service == "monitoring" and s.step == "judge" and s.subject == model
        ]

    def play(self, stream: Sequence[Recorded]) -> Course:
        """The whole stream, in the order of `scored_ms`, each outcome decided at its time; what is due at the end is
        too."""
        answering = _Answering(stream, self._plan)
        waiting: list[tuple[int, str, int, dict[str, Any]]] = []
        for number, record in enumerate(stream):
            while waiting and waiting[0][0] <= record.scored_ms:
                self._mature(stream, *heapq.heappop(waiting)[2:])
            if number % TICK_RECORDS == 0:
                self._tick(record.scored_ms)
            row = self._score(record, number, answering)
            heapq.heappush(waiting, (record.due_ms, record.record_id, number, row))
        while waiting:
            self._mature(stream, *heapq.heappop(waiting)[2:])
        return self.course

    def _tick(self, now_ms: int) -> None:
        self._say(c.Tick(clock=Clock.EVENTS, sources=(self._model.scores,)), now_ms)

    def _score(self, record: Recorded, number: int, answering: _Answering) -> dict[str, Any]:
        """The row of the record's outcome, but for what is known when it is decided."""
        state = self._platform.model(self._name)
        outputs = {
            str(version): answering.output(version, number, self._artifact(state.versions[version]))
            for version in state.in_play
        }
        split = split_of(state, subject_of(self._model, record.entity, record.record_id))
        by = split.answered_by
        self.course.answers.append(None if by is None else (by, tuple(outputs[str(by)])))
        self._inputs_seen(record)
        return {
            "record_id": record.record_id, "entity": record.entity, "origin": "stream",
            "scored_ms": record.scored_ms, "due_ms": record.due_ms, "label": record.label,
            "label_id": record.record_id,
            "status": (LabelStatus.UNLABELLED if record.label is None else LabelStatus.LABELLED).value,
            "inputs": record.inputs, "outputs": outputs, "answered_by": by, "champion": split.champion,
            "candidate": split.candidate, "rollout_id": split.rollout_id,
        }  # fmt: skip

    def _inputs_seen(self, record: Recorded) -> None:
        name = self._judged.waiting.name_for(SCORED, record.record_id)
        self._judged = self._judged.put(name, record.inputs)
        due = Due(record.record_id, "model", name, record.scored_ms)
        self._publish("judge", *self._judge.take_scored(self._judged, due, self._context(record.scored_ms)))

    def _mature(self, stream: Sequence[Recorded], number: int, row: dict[str, Any]) -> None:
        record = stream[number]
        if record.label is not None:
            position = self._judged.position
            self._decided.append(DecidedRow(position, record.record_id, record.scored_ms, record.inputs, record.label))
        name = self._judged.waiting.name_for(MATURED, record.record_id)
        self._judged = self._judged.put(name, row)
        due = Due(record.record_id, "model", name, record.due_ms)
        self._publish("judge", *self._judge.take_matured(self._judged, due, self._context(record.due_ms)))

    def _context(self, now_ms: int) -> Context:
        return Context(self._platform, now_ms, self._task)

    def _publish(self, who: str, state: JudgeState, outputs: Sequence[Any]) -> None:
        self._judged = state
        for output in outputs:
            if isinstance(output, Publish):
                self._say(output.event, output.time_ms, who)

    def _say(self, event: Event, time_ms: int, who: str = REPLICA) -> None:
        """Publish to the control log, and go on until nobody has anything more to say."""
        self._append(event, time_ms, who)
        while self._queue:
            message = self._queue.popleft()
            self._platform = self._platform.after(message)
            self.course.events.append(message)
            self._follow(message)

    def _append(self, event: Event, time_ms: int, who: str) -> None:
        number = len(self.course.events) + len(self._queue)
        key = getattr(event, "model", None) or "platform"
        self._queue.append(Message(derived_id(REPLICA, event.ce_type, "", number), who, time_ms, key, event))

    def _follow(self, message: Message) -> None:
        for name, step in self._steps.items():
            handler = step.handler(message)
            if handler is None:
                continue
            context = Context(self._platform, message.time_ms, self._task_of(name))
            self._states[name], outputs = handler(self._states.get(name), message, context)
            for output in outputs:
                if isinstance(output, Publish):
                    self._append(output.event, output.time_ms, name)
        match message.event:
            case c.RunRequested() as asked:
                self._run(asked, message.time_ms)
            case c.VersionRegistered(version=version, artifact=kept):
                self.course.artifacts[version] = self._artifacts[kept.sha256]
            case c.RolloutStarted(candidate=candidate, rollout_id=rollout_id) if self._at_once:
                command = c.PromoteVersion(request_id=rollout_id, model=self._name, version=candidate, by=REPLICA)
                self._append(command, message.time_ms, REPLICA)
            case _:
                pass
        self._load(message.time_ms)

    def _task_of(self, step: str) -> Any:
        return next((s for s in self._platform.definitions.tasks if s.step == step), None)

    def _load(self, now_ms: int) -> None:
        """The one replica loads at once what is to be kept ready."""
        state = self._platform.model(self._name)
        wanted = set(state.to_load)
        for version in sorted(wanted - self._ready):
            sha256 = state.versions[version].artifact.sha256
            self._append(
                c.ReplicaReady(replica=REPLICA, model=self._name, version=version, artifact_sha256=sha256),
                now_ms, REPLICA,
            )  # fmt: skip
        self._ready = wanted

    def _run(self, asked: c.RunRequested, now_ms: int) -> None:
        state = self._platform.model(self._name)
        champion = None if asked.champion is None else self._artifact(state.versions[asked.champion])
        job = FitJob(
            run_id=asked.run_id, model=self._model, input_spec=tuple(self._plan),
            rows=[row for row in self._decided if row.position < asked.position], since=asked.since, seed=asked.seed,
            champion=asked.champion, champion_artifact=champion,
        )  # fmt: skip
        try:
            result = self._fits(job, _unheard)
        except FAILURES as error:
            reason = failure_reason(error)
            self._append(c.RunFailed(run_id=asked.run_id, model=self._name, reason=reason), now_ms, "training")
            return
        sha256 = hashlib.sha256(result.artifact).hexdigest()
        self._artifacts[sha256] = result.artifact
        kept = Reference(uri=f"memory:{sha256}", sha256=sha256, bytes=len(result.artifact))
        self._append(run_finished(asked, result, kept), now_ms, "training")

    def _artifact(self, version: VersionState) -> bytes:
        return self._artifacts[version.artifact.sha256]


class _Answering:
    """What each version says of each record, computed for a few thousand records at once."""

    def __init__(self, stream: Sequence[Recorded], plan: Sequence[tuple[str, str]]) -> None:
        self._stream, self._plan = stream, plan
        self._models: dict[int, OnnxModel] = {}
        self._said: dict[tuple[int, int], list[list[float]]] = {}

    def output(self, version: int, number: int, artifact: bytes) -> list[float]:
        chunk = number // _AHEAD
        if (version, chunk) not in self._said:
            model = self._models.setdefault(version, OnnxModel(artifact))
            rows = [each.inputs for each in self._stream[chunk * _AHEAD : (chunk + 1) * _AHEAD]]
            self._said = {key: said for key, said in self._said.items() if key[1] >= chunk}
            self._said[version, chunk] = model.predict_rows(rows)
        return self._said[version, chunk][number % _AHEAD]


def _unheard(fraction: float, doing: str) -> None:
    """Nobody asks how far a fit is."""
