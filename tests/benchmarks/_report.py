"""What a benchmark leaves behind: a table on standard output, and `build/reports/<target>.json`."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "build" / "reports"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: its median with the lowest and the highest, and whether it reaches `goal`, where there is one."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    goal: str = ""
    holds: bool | None = None

    @classmethod
    def of(cls, name: str, values: Sequence[float], unit: str, *, least: float = 0.0, most: float = 0.0) -> Self:
        """The median of `values`, which is to be at least `least`, or at most `most`, where given."""
        median = statistics.median(values)
        goal = f">= {least:g}" if least else f"<= {most:g}" if most else ""
        holds = median >= least if least else median <= most if most else None
        return cls(name, median, min(values), max(values), unit, goal, holds)

    def line(self) -> str:
        """The row as it is printed."""
        goal = f"  goal {self.goal}: {'yes' if self.holds else 'no'}" if self.goal else ""
        return (
            f"{self.name:<58}{_figure(self.value):>10} ({_figure(self.low)} to {_figure(self.high)}) {self.unit}{goal}"
        )


class Report:
    """Rows as they come; `target` is that of the Makefile."""

    def __init__(self, target: str, seed: int) -> None:
        self._target, self._seed, self._began_s = target, seed, time.monotonic()
        self._rows: list[Row] = []

    def add(self, *rows: Row) -> None:
        """Print them, and keep them for the file."""
        for row in rows:
            print(row.line(), flush=True)
        self._rows += rows

    def write(self) -> Path:
        """The file, and where it stands."""
        REPORTS.mkdir(parents=True, exist_ok=True)
        file = REPORTS / f"{self._target}.json"
        told = {
            "target": self._target, "commit": _commit(), "seed": self._seed,
            "seconds": round(time.monotonic() - self._began_s, 1), "machine": machine(),
            "rows": [asdict(row) for row in self._rows],
        }  # fmt: skip
        file.write_text(json.dumps(told, indent=2) + "\n")
        return file


def machine() -> str:
    """Processor, cores and memory."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    [line] = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def _commit() -> str:
    said = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return said.stdout.strip()


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
