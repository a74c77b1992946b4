"""Which records count: those that fit their source and were not seen before. Late ones pass, marked."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from services.ingestion.archive import BUFFER, archived_row
from services.ingestion.quarantine import quarantined
from services.ingestion.validation import validate
from shared.contracts.envelope import Message
from shared.contracts.flow import IntakeRecord, RecordAccepted
from shared.contracts.topics import RECORDS
from shared.runtime.step import Append, Context, Due, Output, Publish, SetTimer, Step

FORGET = "forget"


def on_intake(seen: int | None, message: Message, context: Context) -> tuple[int | None, Sequence[Output]]:
    """`seen`: how often the record's id has come and counted, once, or as a duplicate; None: never."""
    if seen is not None:
        return seen + 1, []
    record = _intake(message)
    source = context.platform.definitions.sources[record.source]
    value = orjson.loads(record.data)
    refusal = validate(source, value)
    if refusal is not None:
        where = (record.topic, record.partition, record.offset)
        rejected = quarantined(refusal, source.name, *where, record.data.encode(), message.key, message.time_ms)
        return None, [rejected]
    shown_ms = None if record.newest_ms is None else record.newest_ms - source.time.allowed_lateness
    late = is_late(message.time_ms, shown_ms, context.watermark_ms)
    accepted = RecordAccepted(
        source=source.name, record_id=record.record_id, late=late, value=value, known_ms=shown_ms if late else None
    )
    # A late record is remembered as long as any other: from now, not from its event time.
    forget_ms = max(message.time_ms, context.watermark_ms) + source.retention.duplicates
    return 1, [
        Publish(RECORDS.of(source.name), message.key, accepted, message.time_ms),
        Append(BUFFER, archived_row(message.key, message.time_ms, accepted, record)),
        SetTimer(FORGET, forget_ms),
    ]


def on_forget(seen: int | None, due: Due, context: Context) -> tuple[None, Sequence[Output]]:
    """The id may come again and count again."""
    return None, []


def is_late(time_ms: int, shown_ms: int | None, watermark_ms: int) -> bool:
    """Behind what its own log had shown before it, or behind the watermark of all."""
    return (shown_ms is not None and time_ms < shown_ms) or time_ms < watermark_ms


def _intake(message: Message) -> IntakeRecord:
    if not isinstance(message.event, IntakeRecord):
        raise TypeError(f"accept reads IntakeRecord, found {type(message.event).__name__} in event {message.id}")
    return message.event


def accept_step() -> Step:
    """Keyed by record id; what it publishes stays under the record's key."""
    return Step(
        "accept", int, {IntakeRecord: on_intake}, {FORGET: on_forget}, key=lambda message: _intake(message).record_id
    )
