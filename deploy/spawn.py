"""Child processes that never outlive the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import IO

# Runs in the child and becomes the program itself by exec, so the process id is the program's. Not a preexec_fn: that
# would run Python between fork and exec of a process with threads, where any lock may be held for ever.
_BIND_TO_PARENT = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the process that started this one has already ended")
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"cannot run {sys.argv[2]}: {error.strerror}")
"""

_requests: SimpleQueue[Callable[[], None]] = SimpleQueue()
_spawner_lock = threading.Lock()
_spawner: threading.Thread | None = None
_spawner_process_id = 0


def spawn(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: int | IO[bytes] = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a process group of its own; on Linux the kernel kills it when this process ends, however it ends.

    `output` takes both standard output and standard error (`subprocess.PIPE`, `DEVNULL` or an open file); `env`
    replaces the environment. A program that cannot be run shows as an exit with its reason in the output.
    """
    command = [sys.executable, "-I", "-S", "-c", _BIND_TO_PARENT, str(os.getpid()), *map(str, argv)]
    started: SimpleQueue[subprocess.Popen[bytes] | OSError] = SimpleQueue()

    def start() -> None:
        try:
            process = subprocess.Popen(
                command,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            started.put(error)
        else:
            started.put(process)

    _ensure_spawner()
    _requests.put(start)
    outcome = started.get()
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


def collect(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code (negative: the signal) once the process has ended, else None; what it left running is killed."""
    if process.returncode is not None:
        return process.returncode
    if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return None
    # Before it is waited for: until then its id, and with it the group's, can't belong to anybody else.
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process and to all that it started; nothing if it has ended already."""
    if collect(process) is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def end(processes: Sequence[subprocess.Popen[bytes]], grace_s: float) -> None:
    """SIGTERM to all at once; after `grace_s` seconds SIGKILL to those that are left and to all that they started."""
    for process in processes:
        if collect(process) is None:
            process.terminate()
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and any(collect(process) is None for process in processes):
        time.sleep(0.02)
    for process in processes:
        kill(process)


def _ensure_spawner() -> None:
    """One thread starts all children: the kernel binds a child to the *thread* that forked it; this one never ends."""
    global _spawner, _spawner_process_id
    with _spawner_lock:
        if _spawner is None or _spawner_process_id != os.getpid():
            _spawner = threading.Thread(target=_serve_requests, name="spawner", daemon=True)
            _spawner_process_id = os.getpid()
            _spawner.start()


def _serve_requests() -> None:
    while True:
        _requests.get()()
