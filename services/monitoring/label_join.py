"""When a prediction meets its label: the outcome of a record, its revisions, and the fate of every label.

An outcome falls due `matures_after` its prediction and is decided once the watermark has passed that, by the newest
label in time and dated no later; of equally old ones by the later in the log, of two with one id by the first. A label
that was late at its source, or is dated beyond the due time, never takes part in the decision, however early it comes
here: otherwise the interleaving of two logs would decide. It revises the outcome afterwards if it is dated no earlier
than the label in force and says something else. A null is a label that says: not known.

Every label has one fate: in the outcome, in a revision, or LabelUnused. SUPERSEDED: another label had the say before
the decision, or the same id came again. LATE: it came for a revision and changed nothing, or after the outcome's labels
had expired. WITHOUT_RECORD: no prediction came before it expired.

A record has one outcome, for its id is remembered after that has expired, as long as ingestion remembers ids: a request
about it later makes no second one. A request that is older than that when it comes is not even brought here (`rekey`).
A request may come before its record: then the outcome is the request's, and RecordStreamed tells that the record was
scored on the stream all the same, so that of the streamed ones none is missing.

No event goes behind the watermark, for this task's marks have promised so: one whose own time has passed (a request's
prediction, a late record) is dated by the watermark. The true time stands in `scored_ms`. What a late label leads to is
dated by how far its source had come before it (`known_ms`), which is the same however the logs interleave.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.contracts.contract import Contract
from shared.contracts.definitions import Label
from shared.contracts.envelope import Event, Message
from shared.contracts.flow import (
    LabelFate,
    LabelObserved,
    LabelStatus,
    LabelUnused,
    OutcomeAnswers,
    OutcomeMatured,
    OutcomeRevised,
    OutcomeScored,
    PredictionMade,
    RecordStreamed,
)
from shared.contracts.topics import OUTCOMES
from shared.runtime.step import ClearTimer, Context, Due, Output, Publish, SetTimer

DUE, EXPIRE, FORGET, ORPHAN = "due", "expire", "forget", "orphan"
LabelValue = float | str | None


class HeldLabel(Contract):
    """A label that waits; `in_time`: it was not late at its source. `known_ms`: see LabelObserved.

    `trace`: what it leads to may follow from a timer or another label, and belongs to its own trace all the same.
    """

    label_id: str
    time_ms: int
    value: LabelValue
    in_time: bool
    known_ms: int | None = None
    trace: str = ""

    @property
    def earliest_ms(self) -> int:
        """Nobody can have known it before."""
        return self.time_ms if self.known_ms is None else max(self.time_ms, self.known_ms)


class Decided(Contract):
    """What a revision needs of a matured outcome: the label in force, None if there is none, and what was answered.

    `revised_ms`: the time of the revision that brought the label.
    """

    label: LabelValue
    label_id: str | None
    label_ms: int | None
    answers: OutcomeAnswers | None = None
    revised_ms: int | None = None


class JoinState(Contract):
    """Labels alone, then a prediction with at most one label to decide and one to revise, then Decided, then nothing
    but `status`: how it was decided, whatever revised it. `trace`: of the prediction."""

    prediction: PredictionMade | None = None
    scored_ms: int = 0
    due_ms: int = 0
    labels: tuple[HeldLabel, ...] = ()
    decided: Decided | None = None
    status: LabelStatus | None = None
    trace: str = ""

    @property
    def expired(self) -> bool:
        """That there was an outcome is all that is left."""
        return self.status is not None and self.decided is None


Joined = tuple[JoinState | None, list[Output]]


def on_prediction(state: JoinState | None, message: Message, context: Context) -> Joined:
    """The first prediction of a record makes its outcome; one that was answered takes the place of one that was not."""
    event = message.event
    assert isinstance(event, PredictionMade)
    state = state or JoinState()
    if state.status is not None:
        return state, _streamed(event, state.status, message.time_ms, context)
    if state.prediction is not None:
        answers = state.prediction.answered_by is None and event.answered_by is not None
        if answers:
            state = state.model_copy(update={"prediction": event, "trace": message.trace or ""})
        return state, _streamed(event, None, message.time_ms, context)
    rule, time_ms, now_ms = _rule(event.model, context), message.time_ms, context.watermark_ms
    due_ms = time_ms + rule.matures_after
    decides_ms = max(due_ms, now_ms)
    outputs: list[Output] = [
        _publish(
            event.model, event.record_id or "", OutcomeScored(prediction=event, scored_ms=time_ms), time_ms, now_ms
        ),
        SetTimer(DUE, decides_ms),
        SetTimer(EXPIRE, max(time_ms + rule.expires_after, decides_ms)),
        *(ClearTimer(f"{ORPHAN}:{held.label_id}") for held in state.labels),
    ]
    joined = JoinState(prediction=event, scored_ms=time_ms, due_ms=due_ms, trace=message.trace or "")
    for held in state.labels:
        joined, unused = _with_label(joined, held)
        outputs += _unused(event.model, message.key, unused, LabelFate.SUPERSEDED, now_ms)
    return joined, outputs


def on_label(state: JoinState | None, message: Message, context: Context) -> Joined:
    """A label waits for its prediction, takes part in the decision, or revises it."""
    event = message.event
    assert isinstance(event, LabelObserved)
    state, model, now_ms = state or JoinState(), event.model, context.watermark_ms
    value = float(event.value) if isinstance(event.value, bool | int) else event.value
    held = HeldLabel(
        label_id=event.label_id, time_ms=message.time_ms, value=value, in_time=not event.late, known_ms=event.known_ms,
        trace=message.trace or "",
    )  # fmt: skip
    if state.expired:
        return state, _unused(model, message.key, [held], LabelFate.LATE, now_ms)
    if state.decided is not None:
        return _revised(state, held, model, message.key, now_ms)
    if any(held.label_id == other.label_id for other in state.labels):
        return state, _unused(model, message.key, [held], LabelFate.SUPERSEDED, now_ms)
    if state.prediction is not None:
        state, unused = _with_label(state, held)
        return state, _unused(model, message.key, unused, LabelFate.SUPERSEDED, now_ms)
    expires_ms = max(held.time_ms + _rule(model, context).expires_after, now_ms)
    waiting = state.model_copy(update={"labels": (*state.labels, held)})
    return waiting, [SetTimer(f"{ORPHAN}:{held.label_id}", expires_ms)]


def on_orphan(state: JoinState, due: Due, context: Context) -> Joined:
    """No prediction came: the label is forgotten."""
    label_id = due.name.partition(":")[2]
    gone = [held for held in state.labels if held.label_id == label_id]
    kept = tuple(held for held in state.labels if held.label_id != label_id)
    outputs = _unused(context.task.subject, due.key, gone, LabelFate.WITHOUT_RECORD, due.due_ms)
    return (state.model_copy(update={"labels": kept}) if kept else None), outputs


def on_due(state: JoinState, due: Due, context: Context) -> Joined:
    """The outcome is decided. The timer's time lies behind no mark: it was set no earlier than the watermark."""
    prediction, model = state.prediction, context.task.subject
    if prediction is None:
        return state, []
    deciding = next((held for held in state.labels if _decides(held, state.due_ms)), None)
    decided, status = _decision(deciding, _rule(model, context))
    matured = OutcomeMatured(
        prediction=prediction,
        scored_ms=state.scored_ms,
        status=status,
        label=decided.label,
        label_id=decided.label_id,
    )
    outputs: list[Output] = [Publish(OUTCOMES.of(model), due.key, matured, due.due_ms, trace=state.trace)]
    kept = decided.model_copy(update={"answers": _answers(prediction, due.due_ms)})
    after = JoinState(decided=kept, status=status)
    for held in state.labels:
        if held is not deciding:
            after, more = _revised(after, held, model, due.key, due.due_ms)
            outputs += more
    return after, outputs


def on_expire(state: JoinState, due: Due, context: Context) -> Joined:
    """Nothing revises the outcome any more. One that is not decided, for its timer is a dead letter, waits for that."""
    model = context.task.subject
    if state.status is None:
        return state, [SetTimer(EXPIRE, due.due_ms + _rule(model, context).expires_after)]
    rest_ms = remembered_ms(model, context) - _rule(model, context).expires_after
    return JoinState(status=state.status), [SetTimer(FORGET, due.due_ms + rest_ms)]


def on_forget(state: JoinState, due: Due, context: Context) -> tuple[None, list[Output]]:
    """The id may come again, as a new record."""
    return None, []


def remembered_ms(model: str, context: Context) -> int:
    """How long after its time it is known that a record has an outcome."""
    definitions = context.platform.definitions
    source = definitions.sources[definitions.models[model].scores]
    return max(definitions.models[model].label.expires_after, source.retention.duplicates)


def _with_label(state: JoinState, held: HeldLabel) -> tuple[JoinState, list[HeldLabel]]:
    """The newest label that decides and the newest that revises are kept; the other one is returned."""
    rival = next((o for o in state.labels if _decides(o, state.due_ms) == _decides(held, state.due_ms)), None)
    if rival is not None and held.time_ms < rival.time_ms:
        return state, [held]
    kept = tuple(other for other in state.labels if other is not rival)
    return state.model_copy(update={"labels": (*kept, held)}), [] if rival is None else [rival]


def _decides(held: HeldLabel, due_ms: int) -> bool:
    return held.in_time and held.time_ms <= due_ms


def _decision(held: HeldLabel | None, rule: Label) -> tuple[Decided, LabelStatus]:
    if held is None:
        absent = rule.absent
        status = LabelStatus.UNLABELLED if absent is None else LabelStatus.ABSENT
        return Decided(label=absent, label_id=None, label_ms=None), status
    decided = Decided(label=held.value, label_id=held.label_id, label_ms=held.time_ms)
    return decided, LabelStatus.UNLABELLED if held.value is None else LabelStatus.LABELLED


def _answers(prediction: PredictionMade, due_ms: int) -> OutcomeAnswers | None:
    """Without the inputs: it is kept until the labels expire."""
    if not prediction.outputs:
        return None
    return OutcomeAnswers(
        due_ms=due_ms,
        answered_by=prediction.answered_by,
        champion=prediction.champion,
        candidate=prediction.candidate,
        rollout_id=prediction.rollout_id,
        outputs={version: said.output for version, said in prediction.outputs.items()},
    )


def _revised(state: JoinState, held: HeldLabel, model: str, key: str, now_ms: int) -> tuple[JoinState, list[Output]]:
    before = state.decided
    assert before is not None
    if held.label_id == before.label_id:
        return state, _unused(model, key, [held], LabelFate.SUPERSEDED, now_ms)
    older = before.label_ms is not None and held.time_ms < before.label_ms
    if older or held.value == before.label:
        return state, _unused(model, key, [held], LabelFate.LATE, now_ms)
    event = OutcomeRevised(
        model=model, record_id=key, label=held.value, label_id=held.label_id, before=before.label,
        answers=before.answers,
    )  # fmt: skip
    # The next label in the log revises this one: nobody is to see them the other way round.
    known_ms = max(held.earliest_ms, before.revised_ms or held.earliest_ms)
    decided = Decided(
        label=held.value, label_id=held.label_id, label_ms=held.time_ms, answers=before.answers, revised_ms=known_ms
    )
    after = JoinState(decided=decided, status=state.status)
    # Not before its label was known. That lies no earlier than the watermark, which depends on how far the marks of
    # other logs are read: dated by that, a revision would count in a fit or not, as the logs happen to interleave.
    return after, [_publish(model, key, event, known_ms, now_ms, held.trace)]


def _streamed(event: PredictionMade, status: LabelStatus | None, time_ms: int, context: Context) -> list[Output]:
    """Of a prediction that makes no outcome: whether it is one more that was scored on the stream."""
    if event.origin != "stream" or event.answered_by is None:
        return []
    key = event.record_id or ""
    streamed = RecordStreamed(model=event.model, record_id=key, status=status)
    return [_publish(event.model, key, streamed, time_ms, context.watermark_ms)]


def _unused(model: str, key: str, labels: Iterable[HeldLabel], fate: LabelFate, now_ms: int) -> list[Output]:
    return [
        _publish(
            model,
            key,
            LabelUnused(model=model, join_id=key, label_id=held.label_id, fate=fate),
            held.earliest_ms,
            now_ms,
            held.trace,
        )
        for held in labels
    ]


def _publish(model: str, key: str, event: Event, time_ms: int, now_ms: int, trace: str = "") -> Publish:
    return Publish(OUTCOMES.of(model), key, event, max(time_ms, now_ms), trace=trace)


def _rule(model: str, context: Context) -> Label:
    return context.platform.definitions.models[model].label
