"""`python -m services.monitoring.backtest`: a request on standard input, findings on standard output, both JSON."""

from __future__ import annotations

import sys

import orjson
from pydantic import ValidationError

from services.monitoring.backtest.findings import findings
from services.monitoring.backtest.request import Request
from shared.contracts.errors import HeadraceError


def main() -> int:
    """Exit code 1 with `{"error": ..}` where there is nothing to find."""
    request = Request.model_validate_json(sys.stdin.buffer.read())
    try:
        found = findings(request, _say)
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


if __name__ == "__main__":
    sys.exit(main())
