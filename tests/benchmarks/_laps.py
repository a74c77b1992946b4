"""Two programs side by side, each in a process of its own, that run a lap when told to: what is compared is paired."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Lap:
    """What `records` took: seconds on the clock, and seconds of processor time of all threads of the process."""

    records: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.wall_s

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time a record."""
        return self.cpu_s / self.records * 1e6


def serve_laps(run: Callable[[int], None]) -> None:
    """In the child: run a lap for each line of standard input that names a number of records, until it ends."""
    print("ready", flush=True)
    for line in sys.stdin:
        records = int(line)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        run(records)
        lap = Lap(records, time.perf_counter() - wall_s, time.process_time() - cpu_s)
        print(json.dumps(asdict(lap)), flush=True)


class Runner:
    """A child that serves laps. Leaving the block ends it."""

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self._said()

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._process.pid

    def lap(self, records: int) -> Lap:
        """Run one; the parent waits."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{records}\n")
        self._process.stdin.flush()
        return Lap(**json.loads(self._said()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _said(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}; its errors stand above")
        return line
