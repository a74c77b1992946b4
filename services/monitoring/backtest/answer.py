"""What the program of a backtest does with its request: JSON on standard input, JSON on standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError

from services.monitoring.backtest.request import OfRecorded, Overtaken
from shared.contracts.errors import HeadraceError

Say = Callable[[str], None]
Asked = TypeVar("Asked", bound=OfRecorded)


def answer(kind: type[Asked], findings: Callable[[Asked, Say], dict[str, Any]]) -> int:
    """Findings, or exit code 1 with `{"error": ..}` where there is nothing to find, or `{"overtaken": ..}`."""
    request = kind.model_validate_json(sys.stdin.buffer.read())
    try:
        found = findings(request, _say)
    except Overtaken as error:
        sys.stdout.buffer.write(orjson.dumps({"overtaken": str(error)}))
        return 1
    except (HeadraceError, ValidationError) as error:
        sys.stdout.buffer.write(orjson.dumps({"error": _said(error)}))
        return 1
    sys.stdout.buffer.write(orjson.dumps(found))
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _said(error: HeadraceError | ValidationError) -> str:
    if isinstance(error, HeadraceError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}".lstrip(": ") for e in error.errors())
