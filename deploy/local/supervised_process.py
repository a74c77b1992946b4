"""One process under the supervisor: its log, its deaths."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.spawn import collect, kill, spawn

Ready = str | Callable[[], bool] | None

_TAIL_LINES = 20


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. `ready`: a URL that answers 200 once it can work, a function that says so, or None: at once.

    `env` replaces the whole environment; None passes on this process's own. `stop_last`: others need it while they
    stop, so it is stopped once they have ended (a broker). `for_good`: the exit code by which it says that starting it
    again is of no use.
    """

    name: str
    argv: Sequence[str | Path]
    env: Mapping[str, str] | None = None
    ready: Ready = None
    cwd: Path | None = None
    stop_last: bool = False
    for_good: int | None = None


@dataclass
class SupervisedProcess:
    """Runs one `ProcessSpec` and copies each line of its output to its log file and to `on_line(name, line)`."""

    spec: ProcessSpec
    log_file: Path
    on_line: Callable[[str, str], None]
    deaths_s: deque[float] = field(default_factory=deque[float])
    gave_up: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _reader: threading.Thread | None = None
    _tail: deque[str] = field(default_factory=lambda: deque[str](maxlen=_TAIL_LINES))

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The process that was started last, None before the first start."""
        return self._process

    @property
    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._tail)

    def start(self) -> None:
        """Start it, or start it again."""
        process = spawn(self.spec.argv, env=self.spec.env, cwd=self.spec.cwd, output=subprocess.PIPE)
        self._process = process
        self._reader = threading.Thread(target=self._copy_output, args=(process,), name=f"log of {self.spec.name}")
        self._reader.daemon = True
        self._reader.start()

    def exit_code(self) -> int | None:
        """Exit code, None while it runs; a process that was never started counts as running."""
        return None if self._process is None else collect(self._process)

    def finish(self) -> None:
        """Kill what is left of it, and return when its last line has been copied."""
        if self._process is not None:
            kill(self._process)
        if self._reader is not None:
            self._reader.join()

    def died(self, now_s: float, within_s: float) -> int:
        """Count a death at `now_s` (monotonic seconds): how many there were in the last `within_s`."""
        self.deaths_s.append(now_s)
        while self.deaths_s[0] <= now_s - within_s:
            self.deaths_s.popleft()
        return len(self.deaths_s)

    def _copy_output(self, process: subprocess.Popen[bytes]) -> None:
        output = process.stdout
        if output is None:
            return
        with output, self.log_file.open("ab", buffering=0) as log:
            for raw in output:
                log.write(raw)
                line = raw.decode(errors="replace").rstrip("\n")
                self._tail.append(line)
                self.on_line(self.spec.name, line)
