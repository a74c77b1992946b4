from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from deploy.spawn import collect, end, kill, spawn
from tests.eventually import eventually
from tests.unit.deploy.processes import python, runs

_SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
_DEAF = [
    sys.executable,
    "-c",
    "import pathlib, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "pathlib.Path(sys.argv[1]).touch()\n"
    "time.sleep(60)",
]


@contextmanager
def _spawned(argv: list[str]) -> Generator[subprocess.Popen[bytes]]:
    process = spawn(argv)
    try:
        yield process
    finally:
        kill(process)


def test_a_child_outlives_the_thread_that_asked_for_it() -> None:
    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: started.append(spawn(_SLEEP)))
    thread.start()
    thread.join()
    try:
        eventually(
            lambda: b"time.sleep" in Path(f"/proc/{started[0].pid}/cmdline").read_bytes(), 20, "the child's exec"
        )
        assert collect(started[0]) is None
    finally:
        kill(started[0])


def test_a_child_dies_with_a_killed_parent() -> None:
    parent = python(
        "import sys, time; from deploy.spawn import spawn\n"
        "print(spawn([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); time.sleep(60)"
    )
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        # A child that has not bound itself yet ends by itself, for it looks for its parent then.
        assert runs(child)
        parent.kill()
        parent.wait()
    eventually(lambda: not runs(child), 20, "the child's end")


def test_a_process_that_ended_leaves_nothing_of_its_own_running(tmp_path: Path) -> None:
    script = (
        "import pathlib, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))\n"
        "import os; os._exit(3)"
    )
    file = tmp_path / "child"
    with _spawned([sys.executable, "-c", script, str(file)]) as process:
        eventually(lambda: collect(process) == 3, 20, "exit code 3")
        eventually(lambda: not runs(int(file.read_text())), 20, "the end of the grandchild")


def test_what_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with _spawned([*_DEAF, str(ready)]) as process:
        eventually(ready.exists, 20, "the process ignores SIGTERM")
        end([process], grace_s=0.2)
        assert process.returncode == -9


def test_a_program_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = spawn(["/nowhere/program"], output=log)
    eventually(lambda: collect(process) == 1, 20, "exit code 1")
    assert "cannot run /nowhere/program: No such file or directory" in (tmp_path / "log").read_text()
