"""`python -m services.monitoring.backtest`: a request on standard input, findings on standard output, both JSON."""

from __future__ import annotations

import sys

from services.monitoring.backtest.answer import answer
from services.monitoring.backtest.findings import findings
from services.monitoring.backtest.request import Request

if __name__ == "__main__":
    sys.exit(answer(Request, findings))
