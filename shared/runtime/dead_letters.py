"""What a handler could not take: the original key, value and headers, with why, in `<service>.dead.v1`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.envelope import Encoded, Headers
from shared.contracts.flow import EventBuried
from shared.contracts.identity import derived_id
from shared.contracts.topics import dead_letters
from shared.contracts.topology import TaskSpec
from shared.contracts.trace_context import trace_id_of
from shared.runtime.cloud_events import trace_of
from shared.runtime.log import LogRecord, record_bytes
from shared.runtime.step import Cause

KEPT_BYTES = 65_536
_LETTER_ID = "headrace_dead_id"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record for the dead letters; `placeholder` takes the sequence of an event that was too large."""

    topic: str
    encoded: Encoded
    placeholder: Encoded

    @staticmethod
    def too_large(spec: TaskSpec, event: Encoded, topic: str, size: int, limit: int) -> DeadLetter:
        """An event that the broker would refuse: its first 64 kB, its length and sha256."""
        value = event.value or b""
        letter_id = derived_id(dict(event.headers)["ce_id"].decode(), "dead", topic)
        headers = (
            *event.headers,
            *_why(
                letter_id, spec, topic, spec.partition, -1, "EventTooLarge", f"{size} bytes, at most {limit} fit", ""
            ),
            *_whole(value),
        )
        letter = Encoded(_kept(event.key), value[:KEPT_BYTES], headers)
        return DeadLetter(dead_letters(spec.service), letter, _hole(event))


def _hole(event: Encoded) -> Encoded:
    buried = EventBuried()
    headers = tuple((n, buried.ce_type.encode() if n == "ce_type" else v) for n, v in event.headers)
    return Encoded(_kept(event.key), buried.model_dump_json().encode(), headers)


def _kept(key: bytes | None) -> bytes | None:
    # Cut between characters, for a key must stay readable.
    return key and key[:KEPT_BYTES].decode(errors="ignore").encode()


def size_bytes(encoded: Encoded) -> int:
    """What a record weighs for the broker's limit."""
    return record_bytes(encoded.key, encoded.value, encoded.headers)


def dead_letter(
    spec: TaskSpec, record: LogRecord | None, error: Exception, trace: str, cause: Cause | None, limit: int
) -> DeadLetter:
    """The letter for a record, or for a timer (no record), whose handler raised.

    With its headers it may be more than `limit` bytes: then the first 64 kB stand for the value.
    """
    key = record.key if record else getattr(cause, "key", "").encode()
    value = record.value if record else None
    where = (record.topic, record.partition, record.offset) if record else (spec.topic, spec.partition, -1)
    kept = tuple(record.headers) if record else _timer(cause)
    offset = str(record.offset) if record else ""
    letter_id = derived_id(spec.id, "dead", offset or getattr(cause, "id", ""))
    headers = (*kept, *_why(letter_id, spec, *where, type(error).__name__, str(error), trace))
    letter = Encoded(key, value, headers)
    if value and size_bytes(letter) > limit:
        letter = Encoded(_kept(key), value[:KEPT_BYTES], (*headers, *_whole(value)))
    return DeadLetter(dead_letters(spec.service), letter, letter)


def _timer(cause: Cause | None) -> tuple[tuple[str, bytes], ...]:
    named = ("headrace_timer", getattr(cause, "name", "")), ("headrace_timer_id", getattr(cause, "id", ""))
    due_ms = ("headrace_timer_due_ms", str(getattr(cause, "due_ms", "")))
    return tuple((name, text.encode()) for name, text in (*named, due_ms))


def letter_facts(headers: Sequence[tuple[str, bytes]]) -> dict[str, str | int | None]:
    """What a letter's headers say, for a log line. `event_id` None: a user's record, which topic and offset name.
    `trace_id` None: a timer, or a record that came without a trace."""
    said = {name: value.decode(errors="replace") for name, value in headers}
    return {
        "task": said["__connect.errors.task.id"],
        "topic": said["__connect.errors.topic"],
        "partition": int(said["__connect.errors.partition"]),
        "offset": int(said["__connect.errors.offset"]),
        "event_id": said.get("ce_id") or said.get("headrace_timer_id"),
        "trace_id": trace_id_of(trace_of(headers)),
        "letter_id": said[_LETTER_ID],
        "error": said["__connect.errors.exception.class.name"],
        "reason": said["__connect.errors.exception.message"],
    }


def came_with(headers: Headers) -> Headers:
    """Of a letter's headers those that its record came with: the letter's own stand behind them."""
    first = max(place for place, (name, _) in enumerate(headers) if name == _LETTER_ID)
    return tuple(headers[:first])


def _whole(value: bytes) -> tuple[tuple[str, bytes], ...]:
    return (
        ("headrace_value_length", b"%d" % len(value)),
        ("headrace_value_sha256", hashlib.sha256(value).hexdigest().encode()),
    )


def _why(
    letter_id: str, spec: TaskSpec, topic: str, partition: int, offset: int, kind: str, message: str, trace: str
) -> tuple[tuple[str, bytes], ...]:
    return (
        (_LETTER_ID, letter_id.encode()),
        ("__connect.errors.topic", topic.encode()),
        ("__connect.errors.partition", b"%d" % partition),
        ("__connect.errors.offset", b"%d" % offset),
        ("__connect.errors.task.id", spec.id.encode()),
        ("__connect.errors.exception.class.name", kind.encode()),
        ("__connect.errors.exception.message", message.encode()[:4096]),
        ("__connect.errors.exception.stacktrace", trace.encode()[:16_384]),
    )
