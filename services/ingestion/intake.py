"""From a record of a user's topic, under whatever key a client chose, to the record under its own key."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from services.ingestion.quarantine import quarantined
from services.ingestion.routing import Routed, route
from shared.contracts.definitions import Clock, Source
from shared.contracts.flow import IntakeRecord, RejectReason
from shared.contracts.identity import derived_id, record_cause
from shared.contracts.record_fields import Refusal
from shared.contracts.topics import INTAKE
from shared.runtime.cloud_events import MalformedRecord, UserRecord, read_record, trace_of
from shared.runtime.log import LogRecord
from shared.runtime.step import Context, Output, Publish, Raw, Step

LARGEST_RECORD_BYTES = 1 << 20
# The broker's own limit for one event, less room for its headers, key and position.
LARGEST_EVENT_BYTES = 1_000_000 - 16 * 1024


def intake_step(largest_record_bytes: int = LARGEST_RECORD_BYTES) -> Step:
    """The head step of every source. Its state, one for each partition, is the newest event time seen there."""

    def on_raw(newest_ms: int | None, raw: Raw, context: Context) -> tuple[int | None, Sequence[Output]]:
        source, record = context.platform.definitions.sources[context.task.subject], raw.record
        found = _routed(source, record, largest_record_bytes)
        if isinstance(found, Refusal):
            return newest_ms, [_refused(found, source, record)]
        routed, user = found
        taken = _taken(source, record, routed, newest_ms, user.text)
        output = Publish(
            INTAKE.of(source.name), routed.key, taken, routed.time_ms,
            first_cause=record_cause(source.name, routed.record_id),
            trace=trace_of(record.headers, user.attributes) or "",
        )  # fmt: skip
        return newest_after(newest_ms, source, routed.time_ms, record.timestamp_ms), [output]

    return Step("intake", int, raw=on_raw, newest_ms=lambda newest_ms: newest_ms)


def newest_after(newest_ms: int | None, source: Source, time_ms: int, broker_time_ms: int) -> int:
    """The newest event time with one more. By the wall clock it counts at most as the broker's timestamp."""
    counted_ms = min(time_ms, broker_time_ms) if source.time.clock is Clock.WALL else time_ms
    return counted_ms if newest_ms is None else max(newest_ms, counted_ms)


def too_large(data: bytes, largest_record_bytes: int) -> Refusal | None:
    """Judged before anything is decoded."""
    if len(data) <= largest_record_bytes:
        return None
    return Refusal(RejectReason.TOO_LARGE, None, f"at most {largest_record_bytes} bytes", f"{len(data)} bytes")


def _routed(source: Source, record: LogRecord, largest_record_bytes: int) -> tuple[Routed, UserRecord] | Refusal:
    refusal = too_large(record.value or b"", largest_record_bytes)
    if refusal is not None:
        return refusal
    user = read(record.key, record.value, record.headers)
    if isinstance(user, Refusal):
        return user
    routed = route(source, user.data, record.timestamp_ms)
    return routed if isinstance(routed, Refusal) else (routed, user)


def read(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> UserRecord | Refusal:
    """The record's data, unless it is no JSON, or would not fit into an event of ours."""
    try:
        user = read_record(key, value, headers)
    except MalformedRecord as malformed:
        return Refusal(malformed.reason, None, "JSON, or a CloudEvent with JSON data", malformed.detail)
    # As a text within JSON it grows by its quotes and escapes: at most sixfold.
    if len(user.text) > LARGEST_EVENT_BYTES // 6:
        size = len(orjson.dumps(user.text))
        if size > LARGEST_EVENT_BYTES:
            expected = f"at most {LARGEST_EVENT_BYTES} bytes as an event"
            return Refusal(RejectReason.TOO_LARGE, None, expected, f"{size} bytes as an event")
    return user


def _taken(source: Source, record: LogRecord, routed: Routed, newest_ms: int | None, text: str) -> IntakeRecord:
    return IntakeRecord(
        source=source.name,
        record_id=routed.record_id,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        broker_time_ms=record.timestamp_ms,
        newest_ms=newest_ms,
        data=text,
    )


def _refused(refusal: Refusal, source: Source, record: LogRecord) -> Publish:
    where = (record.topic, record.partition, record.offset)
    rejected = quarantined(refusal, source.name, *where, record.value or b"", "", record.timestamp_ms)
    # Its id is unknown, or not to be trusted: the bytes, which name the rejection, tell it apart.
    cause = derived_id(record_cause(source.name, ""), "refused", rejected.name)
    return rejected._replace(first_cause=cause, trace=trace_of(record.headers) or "")
