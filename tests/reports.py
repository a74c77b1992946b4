"""What a proof or a benchmark leaves behind: lines for people, and `build/reports/<target>.json`."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "reports"
DIRTY = "+changes"  # behind the name of code that is not quite that of the commit


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
    def of(
        cls, name: str, values: Sequence[float], unit: str, *, least: float | None = None, most: float | None = None
    ) -> Self:
        """The median of `values`, which is to be at least `least`, or at most `most`, where given."""
        median = statistics.median(values)
        goal = f">= {least:g}" if least is not None else f"<= {most:g}" if most is not None else ""
        holds = median >= least if least is not None else median <= most if most is not None else None
        return cls(name, median, min(values), max(values), unit, goal, holds)

    def line(self) -> str:
        """The row as it is printed."""
        goal = f"  goal {self.goal}: {'yes' if self.holds else 'no'}" if self.goal else ""
        return (
            f"{self.name:<58}{_figure(self.value):>10} ({_figure(self.low)} to {_figure(self.high)}) {self.unit}{goal}"
        )


class Report:
    """Rows as they come; `target` is that of the Makefile. Where it has parts, those of one commit add up."""

    def __init__(self, target: str, seed: int) -> None:
        self._target, self._seed, self._began_s, self._commit = target, seed, time.monotonic(), commit()
        self._rows: list[Row] = []
        self._held = held(REPORTS / f"{target}.json", "commit", self._commit)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those that were added since the last part."""
        return tuple(self._rows)

    def add(self, *rows: Row) -> None:
        """Print them, and keep them for the file."""
        for row in rows:
            print(row.line(), flush=True)
        self._rows += rows

    def write(self) -> Path:
        """The file, and where it stands."""
        return write(self._told())

    def write_part(self, part: str) -> Path:
        """As `write`: rows since the last part take the place of those that `part` had; other parts keep theirs."""
        self._held = joined(self._held, part, self._told())
        self._rows, self._began_s = [], time.monotonic()
        return write(self._held)

    def _told(self) -> dict[str, Any]:
        rows = [asdict(row) for row in self._rows]
        return told(self._target, self._commit, self._seed, time.monotonic() - self._began_s, rows)


def joined(before: Mapping[str, Any] | None, part: str, now: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a part that was run `now`, with the parts before it. `parts` says of what each of them is."""
    kept = [row for row in before["rows"] if row["part"] != part] if before is not None else []
    parts = {**(before["parts"] if before is not None else {})}
    parts[part] = {name: now[name] for name in ("commit", "seed", "seconds", "machine")}
    rows = [*kept, *({**row, "part": part} for row in now["rows"])]
    return {**now, "seconds": round(sum(one["seconds"] for one in parts.values()), 1), "rows": rows, "parts": parts}


def held(file: Path, by: Literal["commit", "code"], name: str) -> dict[str, Any] | None:
    """What earlier runs on this commit, or this code, left. A tree with changes is that of none: each begins anew."""
    found = read(file)
    return found if found is not None and found.get(by) == name and not name.endswith(DIRTY) else None


def told(
    target: str, commit: str, seed: int | str, seconds: float, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A report, as all of them are. `rows`: each has the fields of a `Row`, and others that are its own."""
    return {
        "target": target, "commit": commit, "seed": seed, "seconds": round(seconds, 1), "machine": machine(),
        "rows": rows,
    }  # fmt: skip


def write(report: Mapping[str, Any], file: Path | None = None) -> Path:
    """Whole or not at all. `file`: by default that of the report's target."""
    file = file or REPORTS / f"{report['target']}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(report, indent=1) + "\n")
    new.replace(file)
    return file


def read(file: Path) -> dict[str, Any] | None:
    """What stands there, if anything does."""
    return json.loads(file.read_text()) if file.exists() else None


def commit() -> str:
    """The commit, and a word behind it if the tree holds more than that. A long run asks at its start."""
    return _git("rev-parse", "HEAD") + _dirty(".")


def code(*paths: str) -> str:
    """A digest of the tracked files under `paths` (git's pathspecs), and a word behind it if they have changes.

    Runs on the same code add up, whatever a commit changed elsewhere.
    """
    digest = hashlib.sha256(_git("ls-files", "--stage", "--", *paths).encode()).hexdigest()[:16]
    return digest + _dirty(*paths)


def _dirty(*paths: str) -> str:
    return DIRTY if _git("status", "--porcelain", "--untracked-files=no", "--", *paths) else ""


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


def _git(*arguments: str) -> str:
    found = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return found.stdout.strip()


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
