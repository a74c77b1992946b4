"""What a reader of the README does: has the checkout, starts a platform in one terminal, types commands in another."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.spawn import end, spawn
from tests.e2e.documented_commands import ROOT

ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def checkout(folder: Path) -> Path:
    """A folder as a reader has it."""
    for name in ("examples", "deploy", "services", "shared"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run(command: str, folder: Path) -> str:
    """A command, which must succeed; what it said on standard output."""
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@contextmanager
def running(command: str, folder: Path, log: Path) -> Generator[None]:
    """A platform in a terminal of its own, until Ctrl-C."""
    with log.open("wb") as output:
        up = spawn(["bash", "-c", f"exec {command}"], env=ENVIRONMENT, cwd=folder, output=output)
        try:
            until = time.monotonic() + 120
            while "Headrace is running" not in log.read_text():
                assert up.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.2)
            yield
            up.send_signal(signal.SIGINT)
            assert up.wait(timeout=60) == 0, log.read_text()
        finally:
            end([up], grace_s=10)


def watch(command: str, folder: Path, until_said: str, looks: int) -> None:
    """A command that goes on: it runs in a terminal until it has said something so often, then Ctrl-C ends it."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"], cwd=folder, env={**ENVIRONMENT, "COLUMNS": "200", "LINES": "60"},
        stdin=its, stdout=its, stderr=its, start_new_session=True,
    )  # fmt: skip
    os.close(its)
    try:
        seen, until = b"", time.monotonic() + 30
        while seen.count(until_said.encode()) < looks:
            assert time.monotonic() < until, seen.decode(errors="replace")
            seen += os.read(ours, 65_536)
        process.send_signal(signal.SIGINT)
        # A terminal shows what comes to the end; one that nobody reads takes so much, and then lets nobody go on.
        shown = threading.Thread(target=_read_to_the_end, args=(ours,))
        shown.start()
        assert process.wait(timeout=10) == CTRL_C
        shown.join()
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read_to_the_end(terminal: int) -> None:
    with suppress(OSError):  # that is how a terminal ends
        while os.read(terminal, 65_536):
            pass


CTRL_C = 130
