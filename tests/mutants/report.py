"""What a run of planted bugs says, as a table and as `build/reports/mutants.json`, where runs of one commit add up."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutants.tree import COPIED, ROOT, Caught

REPORT = ROOT / "build" / "reports" / "mutants.json"
NO_BUG = "no bug"
DIRTY = "+changes"  # behind the commit of a tree that holds more than that


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `holds`: the bug was noticed for the right reason, or nothing was found without it."""

    name: str
    caught: Caught
    holds: bool

    @property
    def is_control(self) -> bool:
        return self.name.startswith(NO_BUG)


@dataclass(frozen=True, slots=True)
class Run:
    """`commit`: the tree that was tried."""

    commit: str
    seeds: str
    seconds: float
    rows: Sequence[Row]


def line(row: Row, width: int) -> str:
    """For people."""
    caught = row.caught
    if row.is_control:
        what = "nothing falls" if row.holds else "FELL"
    elif row.holds:
        what = "test" if caught.what == "test" else f"falls: {caught.what}"
    else:
        what = "NOT CAUGHT"
    said = "" if row.holds else f"  {caught.said[-400:]}"
    return f"{row.name:{width}}  {what:24}  {caught.seconds:6.1f} s  {caught.where}{said}"


def joined(before: Mapping[str, Any] | None, run: Run) -> dict[str, Any]:
    """The report of a run, with what others of the same commit found before. A tree with changes begins anew."""
    adds_up = before is not None and before["commit"] == run.commit and not run.commit.endswith(DIRTY)
    kept = {row["name"]: row for row in before["rows"]} if before is not None and adds_up else {}
    seconds = before["seconds"] if before is not None and adds_up else 0.0
    return {
        "target": "mutants",
        "commit": run.commit,
        "seed": run.seeds,
        "seconds": round(seconds + run.seconds, 1),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "rows": [*{**kept, **{row.name: _told(row) for row in run.rows}}.values()],
    }


def _told(row: Row) -> dict[str, str | float | bool]:
    """`noticed_by`: the invariants that fell, or `test`; `where`: in which history, or which test."""
    value = int(not row.holds if row.is_control else row.holds)
    return {
        "name": row.name, "value": value, "low": value, "high": value, "unit": "fell" if row.is_control else "caught",
        "goal": int(not row.is_control), "holds": row.holds, "noticed_by": row.caught.what or "",
        "where": row.caught.where, "seconds": round(row.caught.seconds, 1),
    }  # fmt: skip


def write(run: Run, file: Path = REPORT) -> dict[str, Any]:
    """As every proof does; what stands there now."""
    report = joined(_read(file), run)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report, indent=2) + "\n")
    return report


def _read(file: Path) -> Mapping[str, Any] | None:
    return json.loads(file.read_text()) if file.exists() else None


def commit() -> str:
    """The commit, and a word behind it if what is copied and tried is not quite that."""
    return _git("rev-parse", "HEAD") + (DIRTY if _git("status", "--porcelain", "--", *COPIED) else "")


def _git(*arguments: str) -> str:
    found = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip()
