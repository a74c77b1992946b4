"""`headrace`: the command line. It asks the console over HTTP, and starts platforms on this machine.

Standard output is for results, standard error for progress and errors. Exit codes: 0, 1 what was asked for failed, 2
the command was not understood. What a command needs is imported when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

from services.console.cli.program import main

__all__ = ["main"]
