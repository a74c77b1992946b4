"""Headers of what stands in a topic: of events and marks as the envelope writes them, of dead letters as kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.contracts.control import Tick
from shared.contracts.definitions import Clock
from shared.contracts.envelope import MARK_TYPE, Headers, Mark, Message, encode, encode_mark
from shared.contracts.topology import TaskSpec
from shared.contracts.trace_context import TRACEPARENT, begun
from shared.runtime.dead_letters import dead_letter
from shared.runtime.log import LogRecord

Schema = dict[str, Any]
NUMBER = r"^-?\d+$"
MEANING: Mapping[str, Schema] = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": {"description": "The event's id: it follows from its cause, so that a replay repeats it."},
    "ce_type": {"description": "What happened, and the version of its schema."},
    "ce_source": {"description": "The task that derived it, or the identity of a writer from outside."},
    "ce_time": {"description": "Event time.", "format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$"},
    "ce_control": {
        "description": "The position of control.v1 under which it was derived, or which a mark shows.",
        "pattern": r"^\d+$",
    },
    "ce_sequence": {
        "description": "The producing task's number for this partition, from 1. Readers take the next and skip every "
        "other. A mark stands behind it. What comes from outside has none: readers go by its id.",
        "pattern": r"^\d+$",
    },
    "ce_watermark": {
        "description": "Behind its sequence the task writes nothing earlier than this, in milliseconds since 1970.",
        "pattern": NUMBER,
    },
    "content-type": {"const": "application/json"},
    TRACEPARENT: {
        "description": "W3C Trace Context: the trace that goes from a record's publication to its outcome, and the "
        "event's own span.",
        "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]$",
    },
    "ce_replayfor": {
        "description": "Of a dead letter that was replayed: the task for which alone it counts. Others pass over it.",
    },
    "headrace_dead_id": {"description": "The letter's id: the same letter may stand here twice."},
    "headrace_timer": {"description": "The name of the timer that failed, where no record did."},
    "headrace_timer_id": {"description": "The id of that timer."},
    "headrace_timer_due_ms": {"description": "When it was due, in milliseconds since 1970.", "pattern": r"^(-?\d+)?$"},
    "headrace_value_length": {"description": "Of a value of which only the first 64 kB are kept.", "pattern": r"^\d+$"},
    "headrace_value_sha256": {"description": "Of the whole value.", "pattern": "^[0-9a-f]{64}$"},
    "__connect.errors.topic": {"description": "Where the record stood; of a timer, what its task reads."},
    "__connect.errors.partition": {"pattern": r"^\d+$"},
    "__connect.errors.offset": {"description": "-1: a timer, or an event too large to be written.", "pattern": NUMBER},
    "__connect.errors.task.id": {"description": "Whose handler raised."},
    "__connect.errors.exception.class.name": {},
    "__connect.errors.exception.message": {},
    "__connect.errors.exception.stacktrace": {},
}
_FROM_OUTSIDE = Message("i", "headrace/registry/0", 0, "", Tick(clock=Clock.WALL), None, 1)
_REPLAYED = Message("i", "headrace/console/0", 0, "", Tick(clock=Clock.WALL), None, 1, None, "task")
_DERIVED = Message("i", "task", 0, "", Tick(clock=Clock.WALL), 1, 1, begun("c", "0" * 36))


def event_headers() -> Schema:
    """Of every event; those that not every one has are optional."""
    return _schema([encode(message).headers for message in (_FROM_OUTSIDE, _DERIVED, _REPLAYED)])


def mark_headers() -> Schema:
    """Of a mark."""
    schema = _schema([encode_mark(Mark("task", 1, 0, 1)).headers])
    schema["properties"]["ce_type"] = {"type": "string", "const": MARK_TYPE}
    return schema


def letter_headers() -> Schema:
    """What a dead letter has besides the headers that its record came with."""
    task = TaskSpec("service", "step", "subject", "topic", 0, ())
    record = LogRecord("topic", 0, 0, 0, b"", b"value" * 100_000, ())
    written = [dead_letter(task, which, ValueError(), "", None, limit).encoded.headers for which, limit in (
        (record, 1_000_000), (record, 1), (None, 1),
    )]  # fmt: skip
    return _schema(written)


def _schema(written: Sequence[Headers]) -> Schema:
    """Required is what each of them has. Raises KeyError for a header whose meaning is not told here."""
    names = dict.fromkeys(name for headers in written for name, _ in headers)
    always = [name for name in names if all(name in dict(headers) for headers in written)]
    properties = {name: {"type": "string", **MEANING[name]} for name in names}
    return {"type": "object", "required": always, "properties": properties}
