"""What a request brings: one JSON record, or newline-delimited JSON, each line held against the source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from services.ingestion.intake import read, too_large
from services.ingestion.routing import Routed, route
from services.ingestion.validation import validate
from shared.contracts.definitions import Source
from shared.contracts.record_fields import Refusal


@dataclass(frozen=True, slots=True)
class Line:
    """A record that fits, and its bytes as they will be published. Lines count from 1."""

    number: int
    routed: Routed
    data: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    number: int
    refusal: Refusal


def lines_of(source: Source, body: bytes, now_ms: int, largest_record_bytes: int) -> list[Line | BadLine]:
    """Every record of a request, judged as the stream would judge it at `now_ms`."""
    return [_judged(source, number, data, now_ms, largest_record_bytes) for number, data in _split(body)]


def _split(body: bytes) -> Iterator[tuple[int, bytes]]:
    """A body that is JSON as a whole is one record, however it is broken into lines."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        yield from ((i, line.strip()) for i, line in enumerate(body.split(b"\n"), 1) if line.strip())
    else:
        yield 1, body.strip()


def _judged(source: Source, number: int, data: bytes, now_ms: int, largest_record_bytes: int) -> Line | BadLine:
    user = too_large(data, largest_record_bytes) or read(None, data, ())
    if isinstance(user, Refusal):
        return BadLine(number, user)
    routed = route(source, user.data, now_ms)
    if isinstance(routed, Refusal):
        return BadLine(number, routed)
    refusal = validate(source, user.data) if isinstance(user.data, dict) else None
    return Line(number, routed, data) if refusal is None else BadLine(number, refusal)
