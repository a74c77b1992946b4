"""Turns a process's log lines into what a person reads on the terminal."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, cast

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "warn": 30, "error": 40, "critical": 50, "fatal": 50}
_WARNING = _LEVELS["warning"]
_NOT_SHOWN = {"timestamp", "time", "level", "event", "message", "service", "logger"}


def render(line: str, *, verbose: bool) -> str | None:
    """`HH:MM:SS level event key=value …` for a JSON line, any other line as it is; None for what is not to be shown.

    Without `verbose` only JSON lines of warning and above are shown. What is not JSON has no level: it comes from a
    broker, or from a process that dies before its log is set up, and is shown with `verbose`; the supervisor gives
    the last lines of a process that died in any case.
    """
    fields = _parse(line)
    if fields is None:
        return line if verbose and line.strip() else None
    level = str(fields.get("level", "info")).lower()
    if not verbose and _LEVELS.get(level, _WARNING) < _WARNING:
        return None
    event = fields.get("event", fields.get("message", ""))
    rest = " ".join(f"{name}={_value(value)}" for name, value in fields.items() if name not in _NOT_SHOWN)
    return f"{_time_of_day(fields)} {level:<7} {event} {rest}".rstrip()


def _parse(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        parsed = json.loads(line)
    except ValueError:
        return None
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else None


def _time_of_day(fields: dict[str, Any]) -> str:
    stamp = fields.get("timestamp", fields.get("time"))
    try:
        return datetime.fromisoformat(str(stamp)).strftime("%H:%M:%S")
    except ValueError:
        return "--:--:--"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
