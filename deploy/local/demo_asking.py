"""The demo's hold on its HTTP client: start, let go, hold, stop, and the newest count."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.contracts.errors import HeadraceError

ANSWERS_WITHIN_S = 30.0
ENDS_WITHIN_S = 5.0
ROOT = Path(__file__).resolve().parents[2]


class ClientGone(HeadraceError):
    """The client does not answer."""


class Asking:
    """The client process; it asks between `go` and `hold`."""

    def __init__(self, url: str, seed: int, rate: float) -> None:
        self._argv = [sys.executable, "-m", "deploy.local.demo_client", url, str(seed), str(rate)]
        self._process: subprocess.Popen[bytes] | None = None
        self._held, self._stopped = threading.Event(), threading.Event()
        self.count: dict[str, Any] = {"asked": 0, "failed": 0, "failures": [], "versions": []}

    def __enter__(self) -> Self:
        # It ends with its standard input, so it cannot outlive this process.
        self._process = subprocess.Popen(self._argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
            try:
                process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def go(self) -> None:
        """Ask from here on."""
        self._held.clear()
        self._order("go")

    def hold(self) -> None:
        """Return once nothing is under way."""
        self._held.clear()
        self._order("hold")
        if not self._held.wait(ANSWERS_WITHIN_S):
            raise ClientGone(f"the HTTP client did not stop asking within {ANSWERS_WITHIN_S:.0f} s: {self.count}")

    def stop(self) -> dict[str, Any]:
        """The last count."""
        self._order("stop")
        if not self._stopped.wait(ANSWERS_WITHIN_S):
            raise ClientGone(f"the HTTP client did not end within {ANSWERS_WITHIN_S:.0f} s: {self.count}")
        return self.count

    def _order(self, order: str) -> None:
        process = self._process
        if process is None or process.stdin is None or process.poll() is not None:
            raise ClientGone("the HTTP client does not run: it has ended, or was never started")
        process.stdin.write(f"{order}\n".encode())
        process.stdin.flush()

    def _read(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        for line in process.stdout:
            said = json.loads(line)
            if "held" in said:
                self._held.set()
                continue
            if said.pop("stopped", False):
                self.count = said
                self._stopped.set()
            self.count = said
