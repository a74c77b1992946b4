"""`python -m deploy.backtest`: a request on standard input, findings on standard output, both JSON."""

from __future__ import annotations

import sys

from deploy.backtest.findings import findings
from deploy.backtest.request import Request
from services.monitoring.backtest.answer import answer

if __name__ == "__main__":
    sys.exit(answer(Request, findings))
