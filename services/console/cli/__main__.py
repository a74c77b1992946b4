"""`python -m services.console.cli`: the same as `headrace`."""

from __future__ import annotations

import sys

from services.console.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
