"""What a run of many seeds says, and what all runs on the same code say together: `build/reports/simulate.json`."""

from __future__ import annotations

import fcntl
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.simulation.crash_points import Point
from deploy.simulation.faults import Disk, Kind
from deploy.simulation.staged_faults import AT_WORK, CLOCK_BACK, CLOCK_FORWARD, CURSOR_LOST, SAID
from shared.contracts.services import SERVICES
from tests import reports
from tests.reports import Row
from tests.scenarios.simulation.history import Reached, Told

FOLDER = reports.REPORTS
ENOUGH = 300  # histories: of fewer, a fault may well be missing
FAULTS: Sequence[str] = [
    Kind.CRASH, AT_WORK, *(f"killed {point}" for point in Point), CURSOR_LOST, Disk.LOST, Disk.STALE,
    Disk.LOST_WITH_COPIES, Kind.FILL_DISK, Kind.STORE, Kind.BROKER, Kind.DROP, Kind.FREEZE, Kind.SLOW, Kind.WORKER,
    Kind.EXPIRE, CLOCK_FORWARD, CLOCK_BACK, *SAID.values(),
]  # fmt: skip
PLAYED = (
    *(f"services/{name}" for name in SERVICES), "services/console/letter_replay.py", "shared", "deploy/simulation",
    "tests/scenarios", "requirements-dev.lock", ":!tests/scenarios/*test_*.py",
)  # fmt: skip

Slice = Mapping[str, float]


@dataclass(kw_only=True)
class _Counts:
    """Of histories: how many, what stood in their logs, and what they took, met and got to."""

    histories: int = 0
    records: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    struck: Counter[str] = field(default_factory=Counter[str])
    reached: Counter[str] = field(default_factory=Counter[str])

    def count(self, other: _Counts) -> None:
        """Those of another as well."""
        self.histories += other.histories
        self.records += other.records
        self.cpu_s += other.cpu_s
        self.wall_s += other.wall_s
        self.struck.update(other.struck)
        self.reached.update(other.reached)

    @property
    def a_second(self) -> float:
        return self.histories / self.wall_s if self.wall_s else 0.0

    @property
    def cpu_each_s(self) -> float:
        return self.cpu_s / max(1, self.histories)


@dataclass
class Run(_Counts):
    """What came of seeds so far."""

    first: int
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


@dataclass
class Total(_Counts):
    """What came of all runs on the same code. `failing`: by seed, what broke. `slices`: each run's own figures."""

    code: str
    failing: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])
    seeds: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # from, to: each once
    slices: list[Slice] = field(default_factory=list[Slice])

    @property
    def distinct(self) -> int:
        return sum(last - first + 1 for first, last in self.seeds)

    def add(self, run: Run) -> None:
        """One more run."""
        self.count(run)
        self.failing |= {str(seed): [str(one) for one in told.broken[:5]] for seed, told in run.failing.items()}
        self.seeds = _ranges({*run.seeds, *(n for first, last in self.seeds for n in range(first, last + 1))})
        one = {"first": run.first, "histories": run.histories, "failing": len(run.failing)}
        speeds = {"histories a second": run.a_second, "CPU of a history": run.cpu_each_s}
        self.slices.append({**one, "seconds": run.wall_s, **{name: round(value, 3) for name, value in speeds.items()}})


def table(run: Run) -> str:
    """For people."""
    wide = max(map(len, [*FAULTS, *Reached]))
    lines = [f"{'fault':<{wide}} {'struck':>12}", *(f"{fault:<{wide}} {run.struck[fault]:>12,}" for fault in FAULTS)]
    lines += ["", f"{'histories with':<{wide}} {'of them':>12}"]
    lines += [f"{way:<{wide}} {run.reached[way]:>12,}" for way in Reached]
    each = run.cpu_each_s
    said = f"{run.histories:,} histories, {run.records:,} records in their logs, {len(run.failing)} failing"
    speed = f"{run.wall_s:.0f} s, {run.a_second:.2f} histories a second, {each:.2f} s of CPU each"
    return "\n".join([*lines, "", said, speed])


def so_far(total: Total) -> str:
    """Of all runs on this code, for people."""
    slices = "one run" if len(total.slices) == 1 else f"{len(total.slices)} runs"
    return (
        f"on this code ({total.code}) so far: {total.histories:,} histories in "
        f"{slices}, {total.distinct:,} different seeds, {len(total.failing)} failing"
    )


def written(run: Run) -> tuple[Path, Total]:
    """The report as a file: this run, and those on this code before it; those on other code are forgotten.

    A tree with changes is that of no commit: each run on it begins anew.
    """
    with _alone():
        file, code = FOLDER / "simulate.json", _played_code()
        total = _held(file, code) or Total(code)
        total.add(run)
        return reports.write(_report(total), file), total


@contextmanager
def _alone() -> Generator[None]:
    """Runs that end at the same time write one after the other."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "simulate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _held(file: Path, code: str) -> Total | None:
    held = reports.held(file, "code", code)
    if held is None:
        return None
    kept: dict[str, Any] = {**held["so far"]}
    kept |= {name: Counter(kept[name]) for name in ("struck", "reached")}
    kept["seeds"] = [(first, last) for first, last in kept["seeds"]]
    return Total(code, **kept)


def _report(total: Total) -> Mapping[str, object]:
    wanted = 1 if total.histories >= ENOUGH else None
    rows = [
        Row.of("histories", [total.histories], "histories"),
        Row.of("different seeds", [total.distinct], "seeds"),
        Row.of("histories a second", [round(total.a_second, 3)], "1/s"),
        Row.of("CPU of a history", [round(total.cpu_each_s, 3)], "s"),
        Row.of("records in the logs", [total.records], "records"),
        Row.of("histories that break something", [len(total.failing)], "histories", most=0),
        *(Row.of(f"fault: {one}", [total.struck[one]], "times", least=1) for one in FAULTS),
        *(Row.of(f"histories with {one}", [total.reached[one]], "histories", least=wanted) for one in Reached),
    ]
    kept = {name: value for name, value in vars(total).items() if name != "code"}
    first = min((first for first, _ in total.seeds), default=0)
    told = reports.told("simulate", reports.commit(), first, total.wall_s, [asdict(row) for row in rows])
    return {**told, "code": total.code, "so far": kept}


def _played_code() -> str:
    """Of what is played, what it runs on, and what checks it; of the console, letters are replayed."""
    return reports.code(*PLAYED)


def _ranges(seeds: Iterable[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for seed in sorted(seeds):
        if found and seed == found[-1][1] + 1:
            found[-1] = found[-1][0], seed
        else:
            found.append((seed, seed))
    return found
