"""Moments as people and files write them, as integer epoch milliseconds in UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
# The years that datetime knows: 1 to 9999.
FIRST_MS = (date.min.toordinal() - _EPOCH_ORDINAL) * DAY_MS
LAST_MS = (date.max.toordinal() + 1 - _EPOCH_ORDINAL) * DAY_MS - 1

_RFC_3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(?:[Zz]|([+-])(\d{2}):(\d{2}))?)?",
    re.ASCII,
)
_COMPACT_DATE = re.compile(r"\d{8}", re.ASCII)
_EPOCH_NUMBER = re.compile(r"-?\d{1,16}", re.ASCII)
NAMED_FORMATS = ("rfc3339", "YYYYMMDD", "epoch_ms", "epoch_s")
# Only directives that no locale changes.
_DIRECTIVES = frozenset("YymdHMSfjz%")


def check_format(pattern: str) -> None:
    """Raises ValueError unless `pattern` is one of NAMED_FORMATS or a strptime pattern of numeric directives,
    each of them once."""
    directives = re.findall(r"%(.?)", pattern)
    repeated = len(set(directives)) < len(directives)
    if pattern in NAMED_FORMATS or (directives and not repeated and _DIRECTIVES.issuperset(directives)):
        return
    raise ValueError(
        f"expected a time format ({', '.join(NAMED_FORMATS)}, or a pattern of %Y %y %m %d %j %H %M %S %f %z, "
        f"each once), found {pattern!r}"
    )


def parse_instant_ms(value: str | float, pattern: str | None = None) -> int | None:
    """Epoch milliseconds of a moment, or None where `value` is none.

    Without a pattern: RFC 3339 (a missing offset means UTC; a date alone its midnight), eight digits as YYYYMMDD,
    any other whole number as epoch milliseconds. A number of eight digits is always a date: epoch milliseconds
    that small lie in the first two days of 1970; `epoch_ms` as the pattern asks for them. Fractions below a
    millisecond are cut off. Raises ValueError for a pattern that `check_format` refuses.
    """
    if pattern is None:
        return _parse_any(value)
    check_format(pattern)
    if pattern in ("epoch_ms", "epoch_s"):
        return _parse_epoch(value, 1_000 if pattern == "epoch_s" else 1)
    if isinstance(value, str):
        text = value.strip()
    elif value == value and abs(value) < 2**53 and value == int(value):
        text = str(int(value))
    else:
        return None
    if pattern == "rfc3339":
        return _parse_rfc_3339(text)
    if pattern == "YYYYMMDD":
        return _parse_compact(text) if _COMPACT_DATE.fullmatch(text) else None
    try:
        moment = datetime.strptime(text, pattern)  # noqa: DTZ007 - without an offset it means UTC, below
    except ValueError:
        return None
    return _milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _parse_any(value: str | float) -> int | None:
    if not isinstance(value, str):
        if 10_000_000 <= value < 100_000_000 and value == int(value):
            return _parse_compact(str(int(value)))
        return _parse_epoch(value, 1)
    text = value.strip()
    if _COMPACT_DATE.fullmatch(text):
        return _parse_compact(text)
    return _parse_epoch(text, 1) if _EPOCH_NUMBER.fullmatch(text) else _parse_rfc_3339(text)


def _parse_epoch(value: str | float, unit_ms: int) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        if not _EPOCH_NUMBER.fullmatch(text):
            return None
        instant_ms = int(text) * unit_ms
        return instant_ms if FIRST_MS <= instant_ms <= LAST_MS else None
    scaled = value * unit_ms
    # Also false for NaN.
    return int(scaled // 1) if FIRST_MS <= scaled <= LAST_MS else None


def _parse_compact(digits: str) -> int | None:
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
    return (day.toordinal() - _EPOCH_ORDINAL) * DAY_MS


def _parse_rfc_3339(text: str) -> int | None:
    match = _RFC_3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    try:
        offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0")[:6].ljust(6, "0")),
            tzinfo=timezone(-offset if sign == "-" else offset),
        )
    except ValueError:
        return None
    return _milliseconds(moment)


def _milliseconds(moment: datetime) -> int | None:
    instant_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
    return instant_ms if FIRST_MS <= instant_ms <= LAST_MS else None
