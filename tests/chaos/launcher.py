"""The test's side of prepared processes: start an instance within milliseconds, and hear of its end."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from deploy.local.platform import ROOT
from deploy.spawn import end, spawn
from tests.chaos.crash_points import Armed

CONNECTED_WITHIN_S = 180.0
STOPPED = frozenset("TtZXx")  # proc(5)
Ended = Callable[["Instance"], None]


class Instance:
    """One process of a service. `ended` is set once it is dead, and then `code` says how."""

    def __init__(self, name: str, pid: int) -> None:
        self.name, self.pid = name, pid
        self.ended = threading.Event()
        self.code: int | None = None
        self.meant = False  # to die

    def send(self, number: int) -> None:
        """A signal; nothing if it is dead."""
        if not self.ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def moves(self) -> bool:
        """Whether any of its threads is neither stopped nor dead."""
        for thread in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                if thread.read_text().rpartition(")")[2].split()[0] not in STOPPED:
                    return True
        return False


class PreparedService:
    """`start` forks an instance; `on_end` is told of each end, on a thread that must not start another."""

    def __init__(self, service: str, folder: Path, on_end: Ended) -> None:
        self.service, self._on_end = service, on_end
        self._log, path = folder / f"{service}.log", folder / f"{service}.socket"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(CONNECTED_WITHIN_S)
        with self._log.open("ab") as output:
            self.process = spawn(
                [sys.executable, "-m", "tests.chaos.prepared", service, path],
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}, cwd=ROOT, output=output,
            )  # fmt: skip
        self._connection: socket.socket | None = None
        self._started: SimpleQueue[int] = SimpleQueue()
        self._known = threading.Event()
        self._instances: dict[int, Instance] = {}
        self._lock = threading.Lock()

    def connect(self) -> None:
        """Return once all is imported."""
        try:
            self._connection, _ = self._listening.accept()
        except TimeoutError:
            raise AssertionError(f"{self.service} was not imported: {self._log.read_text()}") from None
        finally:
            self._listening.close()
        threading.Thread(
            target=self._read, args=(self._connection,), name=f"ends of {self.service}", daemon=True
        ).start()

    def start(self, name: str, environment: Mapping[str, str], log: Path, armed: Armed | None = None) -> Instance:
        """Fork an instance."""
        fields = armed and {"point": armed.point.name, "nth": armed.nth, "ashes": str(armed.ashes)}
        request = {"environment": dict(environment), "log": str(log), "armed": fields}
        assert self._connection is not None, f"{self.service} is not connected"
        with self._lock:
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            instance = Instance(name, self._started.get(timeout=CONNECTED_WITHIN_S))
            self._instances[instance.pid] = instance
            self._known.set()  # the next line may be of its end already
        return instance

    def _read(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            for line in lines:
                said = json.loads(line)
                if "started" in said:
                    self._known.clear()
                    self._started.put(said["started"])
                    self._known.wait()
                    continue
                instance = self._instances.pop(said["ended"])
                instance.code = said["code"]
                instance.ended.set()
                self._on_end(instance)

    def close(self) -> None:
        """End it, and with it all that it has forked."""
        end([self.process], 0.0)
        if self._connection is not None:
            self._connection.close()


class PreparedServices:
    """All services, imported side by side."""

    def __init__(self, services: tuple[str, ...], folder: Path) -> None:
        self._heard: Ended = lambda instance: None
        self._of = {name: PreparedService(name, folder, lambda instance: self._heard(instance)) for name in services}
        for service in self._of.values():
            service.connect()

    def hear(self, on_end: Ended) -> None:
        """Who is told of ends from now on."""
        self._heard = on_end

    def __getitem__(self, service: str) -> PreparedService:
        return self._of[service]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for service in self._of.values():
            service.close()
