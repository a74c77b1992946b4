"""A record's own key, id and event time: all that intake needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from services.ingestion.refusal import Refusal, shown
from shared.contracts.definitions import Clock, Source
from shared.contracts.flow import RejectReason
from shared.contracts.instants import parse_instant_ms
from shared.contracts.scalar_functions import SCALAR

LONGEST_KEY_CHARACTERS = 1_024
_EXACT_BELOW = 2.0**53
_TIME = "RFC 3339 or epoch milliseconds"
_text = SCALAR.operations["text"]


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
    key = _name(source.key, value)
    if isinstance(key, Refusal):
        return key
    record_id = key if source.id == source.key else _name(source.id, value)
    if isinstance(record_id, Refusal):
        return record_id
    time_ms = _event_time_ms(source, value, broker_time_ms)
    return time_ms if isinstance(time_ms, Refusal) else Routed(key, record_id, time_ms)


def _name(field: str, value: dict[str, JsonValue]) -> str | Refusal:
    found = value.get(field)
    if isinstance(found, str):
        name = found
    elif isinstance(found, bool) or not isinstance(found, int | float):
        return _no_name(field, value)
    elif isinstance(found, float) and not abs(found) < _EXACT_BELOW:
        expected = "a number that keeps all its digits (write it as a text)"
        return Refusal(RejectReason.WRONG_TYPE, field, expected, shown(found))
    else:
        name: str = _text(found)
    if not name:
        return Refusal(RejectReason.MISSING_FIELD, field, "a text or a number", "an empty text")
    if len(name) > LONGEST_KEY_CHARACTERS:
        expected = f"at most {LONGEST_KEY_CHARACTERS} characters"
        return Refusal(RejectReason.OUT_OF_RANGE, field, expected, f"{len(name)} characters")
    return name


def _no_name(field: str, value: dict[str, JsonValue]) -> Refusal:
    if value.get(field) is None:
        return Refusal(
            RejectReason.MISSING_FIELD, field, "a text or a number", "null" if field in value else "no such field"
        )
    return Refusal(RejectReason.WRONG_TYPE, field, "a text or a number", shown(value[field]))


def _event_time_ms(source: Source, value: dict[str, JsonValue], broker_time_ms: int) -> int | Refusal:
    field = source.time.field
    found = value.get(field)
    if found is None:
        return Refusal(RejectReason.MISSING_FIELD, field, _TIME, "null" if field in value else "no such field")
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
