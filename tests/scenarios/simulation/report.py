"""What a run of many seeds says, and what all runs on one commit say together: `build/reports/simulate.json`."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.simulation.crash_points import Point
from deploy.simulation.faults import Disk, Kind
from deploy.simulation.world import AT_WORK, CLOCK_BACK, CLOCK_FORWARD, CURSOR_LOST, SAID
from tests.scenarios.simulation.history import Reached, Told

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "build" / "reports"
ENOUGH = 300  # histories: of fewer, a fault may well be missing
FAULTS: Sequence[str] = [
    Kind.CRASH, AT_WORK, *(f"killed {point}" for point in Point), CURSOR_LOST, Disk.LOST, Disk.STALE,
    Disk.LOST_WITH_COPIES, Kind.FILL_DISK, Kind.STORE, Kind.BROKER, Kind.DROP, Kind.FREEZE, Kind.SLOW, Kind.WORKER,
    Kind.EXPIRE, CLOCK_FORWARD, CLOCK_BACK, *SAID.values(),
]  # fmt: skip
DIRTY = " with changes"  # behind the commit of a tree that is not that of the commit

Slice = Mapping[str, float]


@dataclass
class Run:
    """What came of seeds so far."""

    first: int
    histories: int = 0
    records: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    struck: Counter[str] = field(default_factory=Counter[str])
    reached: Counter[str] = field(default_factory=Counter[str])
    failing: dict[int, Told] = field(default_factory=dict[int, Told])
    seeds: set[int] = field(default_factory=set[int])

    def take(self, seed: int, told: Told) -> None:
        """One more history."""
        self.histories += 1
        self.records += told.records
        self.cpu_s += told.played_s + told.checked_s
        self.struck.update(told.struck)
        self.reached.update(map(str, told.reached))
        self.seeds.add(seed)
        if told.broken:
            self.failing[seed] = told

    @property
    def missing(self) -> list[str]:
        """Faults that struck in none of enough histories, and what none of them reached."""
        if self.histories < ENOUGH:
            return []
        faults, ways = (
            [one for one in FAULTS if not self.struck[one]],
            [one for one in Reached if not self.reached[one]],
        )
        return [*faults, *map(str, ways)]

    @property
    def holds(self) -> bool:
        return not self.failing and not self.missing

    @property
    def a_second(self) -> float:
        return self.histories / self.wall_s if self.wall_s else 0.0


@dataclass
class Total:
    """What came of all runs on one commit. `failing`: by seed, what broke. `slices`: each run's own figures."""

    commit: str
    histories: int = 0
    records: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    struck: Counter[str] = field(default_factory=Counter[str])
    reached: Counter[str] = field(default_factory=Counter[str])
    failing: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])
    seeds: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # from, to: each once
    slices: list[Slice] = field(default_factory=list[Slice])

    @property
    def distinct(self) -> int:
        return sum(last - first + 1 for first, last in self.seeds)

    def add(self, run: Run) -> None:
        """One more run."""
        self.histories += run.histories
        self.records += run.records
        self.cpu_s += run.cpu_s
        self.wall_s += run.wall_s
        self.struck.update(run.struck)
        self.reached.update(run.reached)
        self.failing |= {str(seed): [str(one) for one in told.broken[:5]] for seed, told in run.failing.items()}
        self.seeds = _ranges({*run.seeds, *(n for first, last in self.seeds for n in range(first, last + 1))})
        one = {"first": run.first, "histories": run.histories, "failing": len(run.failing)}
        speeds = {"histories a second": run.a_second, "CPU of a history": run.cpu_s / max(1, run.histories)}
        self.slices.append({**one, "seconds": run.wall_s, **{name: round(value, 3) for name, value in speeds.items()}})


def table(run: Run) -> str:
    """For people."""
    lines = [f"{'fault':<32} {'struck':>12}", *(f"{fault:<32} {run.struck[fault]:>12,}" for fault in FAULTS)]
    lines += ["", f"{'histories with':<32} {'of them':>12}", *(f"{w:<32} {run.reached[w]:>12,}" for w in Reached)]
    each = run.cpu_s / max(1, run.histories)
    said = f"{run.histories:,} histories, {run.records:,} records in their logs, {len(run.failing)} failing"
    speed = f"{run.wall_s:.0f} s, {run.a_second:.2f} histories a second, {each:.2f} s of CPU each"
    return "\n".join([*lines, "", said, speed])


def so_far(total: Total) -> str:
    """Of all runs on this commit, for people."""
    slices = "one run" if len(total.slices) == 1 else f"{len(total.slices)} runs"
    return (
        f"on {total.commit[:12]}{DIRTY if DIRTY in total.commit else ''} so far: {total.histories:,} histories in "
        f"{slices}, {total.distinct:,} different seeds, {len(total.failing)} failing"
    )


def written(run: Run) -> tuple[Path, Total]:
    """The report as a file: this run, and those on this commit before it; those on another one are forgotten.

    A tree with changes is that of no commit: each run on it begins anew.
    """
    with _alone():
        file, commit = FOLDER / "simulate.json", _commit()
        total = _before(file, commit) or Total(commit)
        total.add(run)
        new = file.with_suffix(".new")
        new.write_text(json.dumps(_report(total), indent=1) + "\n")
        new.replace(file)
        return file, total


@contextmanager
def _alone() -> Generator[None]:
    """Runs that end at the same time write one after the other."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "simulate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _before(file: Path, commit: str) -> Total | None:
    if commit.endswith(DIRTY) or not file.exists():
        return None
    held = json.loads(file.read_text())
    if held["commit"] != commit or "so far" not in held:
        return None
    kept: dict[str, Any] = {**held["so far"]}
    kept |= {name: Counter(kept[name]) for name in ("struck", "reached")}
    kept["seeds"] = [(first, last) for first, last in kept["seeds"]]
    return Total(commit, **kept)


def _report(total: Total) -> Mapping[str, object]:
    enough = total.histories >= ENOUGH
    rows = [
        _row("histories", total.histories, "histories"),
        _row("different seeds", total.distinct, "seeds"),
        _row("histories a second", round(total.histories / total.wall_s, 3) if total.wall_s else 0.0, "1/s"),
        _row("CPU of a history", round(total.cpu_s / max(1, total.histories), 3), "s"),
        _row("records in the logs", total.records, "records"),
        _row("histories that break something", len(total.failing), "histories", 0, not total.failing),
        *(_row(f"fault: {one}", total.struck[one], "times", 1, bool(total.struck[one])) for one in FAULTS),
        *(
            _row(f"histories with {one}", total.reached[one], "histories", 1, bool(total.reached[one]) or not enough)
            for one in Reached
        ),
    ]
    kept = {name: value for name, value in vars(total).items() if name != "commit"}
    return {
        "target": "simulate", "commit": total.commit, "seed": min((first for first, _ in total.seeds), default=0),
        "seconds": round(total.wall_s, 1),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rows": rows, "so far": kept,
    }  # fmt: skip


def _ranges(seeds: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for seed in sorted(seeds):
        if found and seed == found[-1][1] + 1:
            found[-1] = found[-1][0], seed
        else:
            found.append((seed, seed))
    return found


def _row(
    name: str, value: float, unit: str, goal: float | None = None, holds: bool | None = None
) -> Mapping[str, str | float | bool | None]:
    return {
        "name": name, "value": value, "low": value, "high": value, "unit": unit, "goal": goal, "holds": holds,
    }  # fmt: skip


def _commit() -> str:
    """What ran: the commit, and whether the tree is another than that."""

    def git(*arguments: str) -> str:
        found = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return found.stdout.strip()

    return git("rev-parse", "HEAD") + (DIRTY if git("status", "--porcelain", "--untracked-files=no") else "")
