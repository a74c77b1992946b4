"""A record's own key, id and event time: all that intake needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from shared.contracts.definitions import Clock, Source
from shared.contracts.flow import RejectReason
from shared.contracts.instants import parse_instant_ms
from shared.contracts.record_fields import Refusal, missing, name_of, shown

_TIME = "RFC 3339 or epoch milliseconds"


@dataclass(frozen=True, slots=True)
class Routed:
    """Key and id as canonical text: 5 and 5.0 alike."""

    key: str
    record_id: str
    time_ms: int


def route(source: Source, value: JsonValue, broker_time_ms: int) -> Routed | Refusal:
    """Where a record belongs. `broker_time_ms` is when the broker took it, which bounds how far ahead it may be."""
    if not isinstance(value, dict):
        return Refusal(RejectReason.WRONG_TYPE, None, "a JSON object", shown(value))
    key = name_of(source.key, value)
    if isinstance(key, Refusal):
        return key
    record_id = key if source.id == source.key else name_of(source.id, value)
    if isinstance(record_id, Refusal):
        return record_id
    time_ms = _event_time_ms(source, value, broker_time_ms)
    return time_ms if isinstance(time_ms, Refusal) else Routed(key, record_id, time_ms)


def _event_time_ms(source: Source, value: dict[str, JsonValue], broker_time_ms: int) -> int | Refusal:
    field = source.time.field
    found = value.get(field)
    if found is None:
        return missing(field, _TIME, value)
    time_ms = None
    if isinstance(found, str | int | float) and not isinstance(found, bool):
        time_ms = parse_instant_ms(found)
    if time_ms is None:
        return Refusal(RejectReason.WRONG_TYPE, field, _TIME, shown(found))
    ahead_ms = time_ms - broker_time_ms
    if source.time.clock is Clock.WALL and ahead_ms > source.time.max_ahead:
        expected = f"a time at most {source.time.max_ahead} ms ahead of the broker's"
        return Refusal(RejectReason.IN_THE_FUTURE, field, expected, f"{shown(found)}, which is {ahead_ms} ms ahead")
    return time_ms
