"""A command with `--json --stay`: it prints its result, and its platform runs on until it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STOPS_WITHIN_S = 60.0


class StayingCommand:
    """One that runs; see `staying`."""

    def __init__(self, running: subprocess.Popen[str], stderr: Path) -> None:
        self._running, self._stderr = running, stderr

    def result(self) -> dict[str, Any]:
        """The object that it prints, as soon as it stands there."""
        assert self._running.stdout is not None
        lines: list[str] = []
        for line in self._running.stdout:
            lines.append(line)
            if line == "}\n":
                return json.loads("".join(lines))
        raise AssertionError(f"it printed no result: {self._stderr.read_text()[-4_000:]}")

    def stop(self) -> int:
        """Ctrl-C for the program itself, not for a make that started it; the exit status."""
        made = subprocess.run(
            ["pgrep", "-P", str(self._running.pid), "-f", "headrace (demo|replay)"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        os.kill(int(made.stdout) if made.stdout else self._running.pid, signal.SIGINT)
        return self._running.wait(STOPS_WITHIN_S)


@contextmanager
def staying(command: Sequence[str | Path], stderr: Path) -> Generator[StayingCommand]:
    """Run it; at the latest at the end everything that it started is gone."""
    with stderr.open("w") as said:
        running = subprocess.Popen(
            [*map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True
        )
        try:
            yield StayingCommand(running, stderr)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
            if running.stdout is not None:
                running.stdout.close()
