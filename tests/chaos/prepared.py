"""A process that has imported all of one service and forks itself for each start: `python -m tests.chaos.prepared`.

A thousand starts would otherwise be a thousand imports, of a second each. What is forked is a process as any other: it
runs the service's own `__main__`, under an environment, a log and an id of its own. The one that forks has no clients,
runs no handler, and dies with whoever asked for it; those that it forked die with it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import logging
import os
import runpy
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from tests.chaos.crash_points import Armed, Point
from tests.chaos.log_ends import LogEnds

_DIE_WITH_PARENT = 1  # prctl(PR_SET_PDEATHSIG)


def main() -> int:
    """`SERVICE SOCKET`: requests come in, and process ids and their ends go out, as lines of JSON."""
    service, path = sys.argv[1:]
    importlib.import_module(f"services.{service}.__main__")
    del sys.modules[f"services.{service}.__main__"]  # it runs in each child anew
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as asked, selectors.DefaultSelector() as waiting:
        asked.connect(path)
        ends, ended = socket.socketpair()
        ended.setblocking(False)
        signal.set_wakeup_fd(ended.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        waiting.register(asked, selectors.EVENT_READ)
        waiting.register(ends, selectors.EVENT_READ)
        lines = asked.makefile("rb", buffering=0)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is ends:
                    ends.recv(4096)
                    _collect(asked)
                elif not (line := lines.readline()):
                    return 0
                else:
                    _tell(asked, {"started": _forked(service, json.loads(line), [asked, ends, ended])})


def _tell(asked: socket.socket, said: dict[str, int]) -> None:
    asked.sendall(json.dumps(said).encode() + b"\n")


def _collect(asked: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _tell(asked, {"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _forked(service: str, request: dict[str, Any], ours: list[socket.socket]) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    for one in ours:
        one.close()
    _become(request)
    runpy.run_module(f"services.{service}", run_name="__main__", alter_sys=True)
    sys.exit()


def _become(request: dict[str, Any]) -> None:
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["environment"])
    # What becomes of a group is decided between its members and the broker: their logs alone do not tell.
    logging.getLogger("kafka.coordinator").setLevel(logging.INFO)
    if armed := request["armed"]:
        Armed(Point[armed["point"]], armed["nth"], Path(armed["ashes"])).arm(LogEnds.of_environment().of)


if __name__ == "__main__":
    sys.exit(main())
