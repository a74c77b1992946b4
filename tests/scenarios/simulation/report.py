"""What a run of many seeds says: figures, how often each fault struck, and `build/reports/simulate.json`."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.simulation.crash_points import Point
from deploy.simulation.faults import Disk, Kind
from deploy.simulation.world import AT_WORK, CLOCK_BACK, CLOCK_FORWARD, CURSOR_LOST, SAID
from tests.scenarios.simulation.history import Told

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "build" / "reports"
ENOUGH = 300  # histories: of fewer, a fault may well be missing
FAULTS: Sequence[str] = [
    Kind.CRASH, AT_WORK, *(f"killed {point}" for point in Point), CURSOR_LOST, Disk.LOST, Disk.STALE,
    Disk.LOST_WITH_COPIES, Kind.FILL_DISK, Kind.STORE, Kind.BROKER, Kind.DROP, Kind.FREEZE, Kind.SLOW, Kind.WORKER,
    Kind.EXPIRE, CLOCK_FORWARD, CLOCK_BACK, *SAID.values(),
]  # fmt: skip


@dataclass
class Run:
    """What came of seeds so far."""

    first: int
    histories: int = 0
    records: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    struck: Counter[str] = field(default_factory=Counter[str])
    failing: dict[int, Told] = field(default_factory=dict[int, Told])

    def take(self, seed: int, told: Told) -> None:
        """One more history."""
        self.histories += 1
        self.records += told.records
        self.cpu_s += told.played_s + told.checked_s
        self.struck.update(told.struck)
        if told.broken:
            self.failing[seed] = told

    @property
    def missing(self) -> list[str]:
        """Faults that struck in none of enough histories."""
        return [fault for fault in FAULTS if not self.struck[fault]] if self.histories >= ENOUGH else []

    @property
    def holds(self) -> bool:
        return not self.failing and not self.missing

    @property
    def a_second(self) -> float:
        return self.histories / self.wall_s if self.wall_s else 0.0


def table(run: Run) -> str:
    """For people."""
    lines = [f"{'fault':<32} {'struck':>12}", *(f"{fault:<32} {run.struck[fault]:>12,}" for fault in FAULTS)]
    each = run.cpu_s / max(1, run.histories)
    said = f"{run.histories:,} histories, {run.records:,} records in their logs, {len(run.failing)} failing"
    speed = f"{run.wall_s:.0f} s, {run.a_second:.2f} histories a second, {each:.2f} s of CPU each"
    return "\n".join([*lines, "", said, speed])


def written(run: Run) -> Path:
    """The report as a file."""
    rows = [
        _row("histories", run.histories, "histories"),
        _row("histories a second", round(run.a_second, 3), "1/s"),
        _row("CPU of a history", round(run.cpu_s / max(1, run.histories), 3), "s"),
        _row("records in the logs", run.records, "records"),
        _row("histories that break something", len(run.failing), "histories", 0, not run.failing),
        *(_row(f"fault: {name}", run.struck[name], "times", 1, bool(run.struck[name])) for name in FAULTS),
    ]
    report = {
        "target": "simulate", "commit": _commit(), "seed": run.first, "seconds": round(run.wall_s, 1),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}", "rows": rows,
    }  # fmt: skip
    FOLDER.mkdir(parents=True, exist_ok=True)
    file = FOLDER / "simulate.json"
    file.write_text(json.dumps(report, indent=1) + "\n")
    return file


def _row(
    name: str, value: float, unit: str, goal: float | None = None, holds: bool | None = None
) -> Mapping[str, str | float | bool | None]:
    return {
        "name": name, "value": value, "low": value, "high": value, "unit": unit, "goal": goal, "holds": holds,
    }  # fmt: skip


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip()
