"""A toy step on the real topology: it remembers what it saw. And the log that it reads, entry by entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.contracts.definitions import Source
from shared.contracts.envelope import Encoded, Event, Mark, Message, decode, encode, encode_mark
from shared.contracts.flow import LabelObserved, OutcomeScored, PredictionMade
from shared.contracts.topics import OUTCOMES
from shared.contracts.topology import TaskSpec
from shared.runtime.history import ControlHistory
from shared.runtime.log import LogRecord
from shared.runtime.step import ClearTimer, Context, Due, Output, Publish, SetTimer, Step
from shared.runtime.task import Task
from shared.runtime.task_file import OutboxRow, TaskFile
from tests import builders as b

LOG_ID = "11111111-1111-8111-8111-111111111111"
JOINS = f"joins.{b.MODEL}.v1"
OUTCOMES_TOPIC = OUTCOMES.of(b.MODEL)
PREDICTIONS_TASK = f"monitoring/key_predictions/predictions.{b.MODEL}.v1/0"
LABELS_TASK = f"monitoring/key_labels/records.{b.LABELS}.v1/0"

Seen = dict[str, Any]


def control_log(*events: Event, definitions: Sequence[Any] | None = None) -> list[LogRecord]:
    """The founding, the definitions, and then `events`, from outside."""
    first = [b.founded(LOG_ID), b.applied(*(definitions or b.declared()))]
    return [entry(b.message(event), n, "control.v1") for n, event in enumerate([*first, *events])]


def history(*events: Event, definitions: Sequence[Any] | None = None) -> ControlHistory:
    """A history that has read it. Position 2 shows the definitions."""
    made = ControlHistory()
    for record in control_log(*events, definitions=definitions):
        made.append(record)
    return made


def entry(what: Message | Mark | Encoded, offset: int, topic: str = JOINS) -> LogRecord:
    """An event, a mark or any bytes as it stands in a log."""
    encoded = what if isinstance(what, Encoded) else encode_mark(what) if isinstance(what, Mark) else encode(what)
    return LogRecord(topic, 0, offset, b.T0_MS, encoded.key, encoded.value, encoded.headers)


def predicted(n: int, key: str = "k", time_ms: int = b.T0_MS, control: int = 2, **over: Any) -> Message:
    """Number `n` of the task that brings predictions."""
    event = b.prediction(record_id=f"r{n}", **over)
    return b.message(event, source=PREDICTIONS_TASK, sequence=n, key=key, time_ms=time_ms, control=control)


def labelled(n: int, key: str = "k", time_ms: int = b.T0_MS, control: int = 2) -> Message:
    """Number `n` of the task that brings labels."""
    event = b.label(label_id=f"l{n}")
    return b.message(event, source=LABELS_TASK, sequence=n, key=key, time_ms=time_ms, control=control)


def marked(watermark_ms: int, behind: int = 0, control: int = 2, source: str = PREDICTIONS_TASK) -> Mark:
    return Mark(source, behind, watermark_ms, control)


def both_marked(watermark_ms: int, predictions: int = 0, labels: int = 0, control: int = 2) -> list[Mark]:
    """Marks of all who may write the log."""
    return [
        marked(watermark_ms, predictions, control),
        marked(watermark_ms, labels, control, LABELS_TASK),
    ]


# --- the step


def on_prediction(state: Seen | None, message: Message, context: Context) -> tuple[Seen | None, list[Output]]:
    """Remembers it, passes it on, and does what its entity asks for: `due:MS`, `clear`, `forget`, `raise`, `large`."""
    event = message.event
    assert isinstance(event, PredictionMade)
    what, _, given = event.entity.partition(":")
    if what == "raise":
        raise ValueError("this one cannot be taken")
    if what == "forget":
        return None, []
    scored = b.scored(prediction=event) if what != "large" else b.scored(prediction=_large(event, int(given)))
    outputs: list[Output] = [Publish(OUTCOMES_TOPIC, message.key, scored, message.time_ms)]
    if what == "due":
        outputs.append(SetTimer("due:x", int(given)))
    if what == "clear":
        outputs.append(ClearTimer("due:x"))
    return _and(state, f"{event.record_id}@{context.platform.position}"), outputs


def on_label(state: Seen | None, message: Message, context: Context) -> tuple[Seen | None, list[Output]]:
    assert isinstance(message.event, LabelObserved)
    return _and(state, message.event.label_id), []


def on_due(state: Seen | None, due: Due, context: Context) -> tuple[Seen | None, list[Output]]:
    scored = b.scored(prediction=b.prediction(record_id=f"due-{due.key}"))
    return _and(state, f"due {due.due_ms - b.T0_MS}"), [Publish(OUTCOMES_TOPIC, "model", scored, due.due_ms)]


def _large(event: PredictionMade, size_bytes: int) -> PredictionMade:
    return b.prediction(record_id=event.record_id, inputs={"text": "x" * size_bytes})


def _and(state: Seen | None, what: str) -> Seen:
    return {"seen": [*(state or {"seen": []})["seen"], what]}


STEP = Step("join", dict[str, Any], {PredictionMade: on_prediction, LabelObserved: on_label}, {"due": on_due})


def spec(definitions: Any = None) -> TaskSpec:
    tasks = (definitions or b.definitions()).tasks
    return next(task for task in tasks if task.step == "join" and task.partition == 0)


def open_task(
    file: TaskFile | None = None, known: ControlHistory | None = None, step: Step = STEP, **over: Any
) -> Task:
    """The toy task; without a file, from nothing."""
    return Task(spec(), step, file or TaskFile("join", None), known or history(), **over)


def take(task: Task, *entries: Message | Mark | Encoded, now_s: float = 0.0) -> int:
    """Let the task take these entries behind its position; how many it took."""
    records = [entry(what, task.position + n) for n, what in enumerate(entries)]
    return task.process(records, now_s)


def seen(task: Task, key: str = "k") -> list[str]:
    state: Mapping[str, list[str]] | None = task.state(key)
    return [] if state is None else [what.partition("@")[0] for what in state["seen"]]


def said(rows: Sequence[OutboxRow]) -> list[Message | Mark]:
    """What stands in an outbox, but for dead letters."""
    return [decode(row.key, row.value, row.headers) for row in rows if not row.topic.endswith(".dead.v1")]


def events(task: Task) -> list[Message]:
    return [what for what in said(task.file.outbox()) if isinstance(what, Message)]


def marks(task: Task) -> list[Mark]:
    return [what for what in said(task.file.outbox()) if isinstance(what, Mark)]


def record_ids(task: Task) -> list[str | None]:
    """Of the predictions in the events that a task has derived."""
    return [m.event.prediction.record_id for m in events(task) if isinstance(m.event, OutcomeScored)]


def wall_source(**over: Any) -> Source:
    return b.source(time={"field": "at", "clock": "wall", "allowed_lateness": "5s"}, **over)
