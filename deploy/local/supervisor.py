"""Starts processes on one machine, waits until each is ready, restarts what dies, stops all."""

from __future__ import annotations

import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.log_lines import render
from deploy.local.supervised_process import ProcessSpec, Ready, SupervisedProcess
from deploy.spawn import end
from shared.contracts.errors import HeadraceError

DEATHS_ALLOWED = 5
DEATHS_WITHIN_S = 60.0
_STOP_GRACE_S = 10.0
_WATCH_INTERVAL_S = 0.1


class ProcessesFailed(HeadraceError):
    """A process did not become ready, or died too often; the message ends with the last lines of its log."""


class Supervisor:
    """Processes that are started in the given order, watched by a thread, and stopped in reverse order.

    `data/logs/<name>.log` takes everything that a process writes; `show` takes what the terminal is to show: warnings
    and above, or everything with `verbose`; `restarted` is told of each restart: name, cause, deaths within a minute,
    on the thread that watches. A process that ends, for whatever reason, is started again; at its fifth
    death within a minute, or when it says twice within a minute that starting it again is of no use (after the first
    time the cause may pass, and others come to say what they met), everything is stopped and `failure` says why. No
    process outlives this one.
    """

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        data: Path,
        *,
        verbose: bool = False,
        ready_timeout_s: float = 60.0,
        show: Callable[[str], None] | None = None,
        restarted: Callable[[str, str, int], None] = lambda name, cause, deaths: None,
    ) -> None:
        logs = data / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._show = show or _to_standard_error
        self._restarted = restarted
        self._verbose = verbose
        self._ready_timeout_s = ready_timeout_s
        self._width = max((len(spec.name) for spec in specs), default=0)
        self._processes = [SupervisedProcess(spec, logs / f"{spec.name}.log", self._on_line) for spec in specs]
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None
        self._failure: str | None = None
        self._lock = threading.Lock()

    @property
    def failure(self) -> str | None:
        """Why everything was stopped, None while nothing failed."""
        return self._failure

    @property
    def process_ids(self) -> dict[str, int]:
        """Process id of every process that runs now."""
        return {
            one.spec.name: one.process.pid
            for one in self._processes
            if one.process is not None and one.exit_code() is None
        }

    def start(self) -> None:
        """Start one process after the other, each once the one before it is ready; on failure all are stopped."""
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()
        with ExitStack() as on_failure:
            on_failure.callback(self.stop)
            for process in self._processes:
                with self._lock:
                    self._raise_if_stopping()
                    process.start()
                self._await_ready(process.spec)
            on_failure.pop_all()

    def stop(self) -> None:
        """SIGTERM in reverse order, SIGKILL after 10 s; returns when nothing runs any more."""
        with self._lock:
            self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        self._stop_processes()
        self._ended.set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until everything has stopped; whether it has. Raises `ProcessesFailed` if it stopped for a failure."""
        ended = self._ended.wait(timeout_s)
        if self._failure is not None:
            raise ProcessesFailed(self._failure)
        return ended

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _await_ready(self, spec: ProcessSpec) -> None:
        deadline = time.monotonic() + self._ready_timeout_s
        while (answer := _not_ready(spec.ready)) is not None:
            self._raise_if_stopping()
            if time.monotonic() > deadline:
                [process] = [one for one in self._processes if one.spec is spec]
                raise ProcessesFailed(
                    f"{spec.name} was not ready after {self._ready_timeout_s:g} s: {answer}\n{_last_lines(process)}"
                )
            time.sleep(0.05)

    def _raise_if_stopping(self) -> None:
        if self._failure is not None:
            raise ProcessesFailed(self._failure)
        if self._stopping.is_set():
            raise ProcessesFailed("stopped before everything was ready")

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_INTERVAL_S):
            for process in self._processes:
                code = process.exit_code()
                if code is not None:
                    self._bury(process, code)
                if self._failure is not None:
                    self._stop_processes()
                    self._ended.set()
                    return

    def _bury(self, process: SupervisedProcess, code: int) -> None:
        process.finish()
        name, cause = process.spec.name, f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        deaths = process.died(time.monotonic(), DEATHS_WITHIN_S)
        with self._lock:
            if self._stopping.is_set():
                return
            process.gave_up = (process.gave_up if deaths > 1 else 0) + (code == process.spec.for_good)
            if deaths >= DEATHS_ALLOWED or process.gave_up > 1:
                often = f"{deaths} times within {DEATHS_WITHIN_S:.0f} s" if process.gave_up < 2 else "twice for good"
                self._failure = (
                    f"{name} ended {often}, the last time with {cause}, so everything was stopped.\n"
                    f"{_last_lines(process)}"
                )
                return
            self._show(f"{name:<{self._width}} | ended with {cause}; starting it again ({deaths} of {DEATHS_ALLOWED})")
            try:
                process.start()
            except OSError as error:
                self._failure = f"{name} ended with {cause} and could not be started again: {error}"
                return
        self._restarted(name, cause, deaths)

    def _stop_processes(self) -> None:
        for last in (False, True):
            chosen = [one for one in reversed(self._processes) if one.spec.stop_last == last]
            end([one.process for one in chosen if one.process is not None], _STOP_GRACE_S)
            for one in chosen:
                one.finish()

    def _on_line(self, name: str, line: str) -> None:
        shown = render(line, verbose=self._verbose)
        if shown is not None:
            self._show(f"{name:<{self._width}} | {shown}")


def _not_ready(ready: Ready) -> str | None:
    """None once it is ready, else what it answered."""
    if ready is None:
        return None
    if callable(ready):
        return None if ready() else "it does not answer yet"
    # Without proxies: a process on this machine is asked directly, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(ready, timeout=1.0) as response:
            return None if response.status == 200 else f"{ready} answered {response.status}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{ready} answered {error.code} {error.read(2000).decode(errors='replace')}"
    except (OSError, HTTPException) as error:
        return f"{ready} does not answer: {error}"


def _last_lines(process: SupervisedProcess) -> str:
    return f"The last lines of {process.log_file}:\n{process.tail}"


def _to_standard_error(line: str) -> None:
    # A terminal that has gone away must not stop the copying of logs, on which the processes would block.
    with suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)
