"""Durations as people write them in definitions (`10m`, `1d`), as integer milliseconds."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w|y)")


def parse_duration_ms(value: Any) -> int:
    """Milliseconds of `250ms`, `30s`, `10m`, `1h`, `7d`, `2w`, `1y` (365 days), or of an integer, which already is.

    Raises ValueError with the forms that are understood.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"a duration cannot be negative, found {value}")
        return value
    match = _TEXT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected a duration such as 250ms, 30s, 10m, 1h, 7d or 2y, found {value!r}")
    return round(float(match[1]) * _UNITS_MS[match[2]])


def format_duration(duration_ms: int) -> str:
    """The shortest exact form: 600000 -> `10m`."""
    for unit in ("y", "w", "d", "h", "m", "s"):
        if duration_ms and duration_ms % _UNITS_MS[unit] == 0:
            return f"{duration_ms // _UNITS_MS[unit]}{unit}"
    return f"{duration_ms}ms"


# Written as text, so that a definition reads back as it was written.
Duration = Annotated[
    int,
    BeforeValidator(parse_duration_ms),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "format": "duration"}),
]
