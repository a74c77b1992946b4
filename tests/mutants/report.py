"""What planted bugs came to: a table, and `build/reports/mutants.json`, where runs on the same code add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import reports
from tests.mutants.tree import COPIED, Caught

REPORT = reports.REPORTS / "mutants.json"
NO_BUG = "no bug"


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
    """`code`: what was tried, of a `commit`."""

    commit: str
    code: str
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
    """The report of a run, with what others on the same code found before."""
    kept = {row["name"]: row for row in before["rows"]} if before is not None else {}
    seconds = before["seconds"] if before is not None else 0.0
    rows = [*{**kept, **{row.name: _told(row) for row in run.rows}}.values()]
    return {**reports.told("mutants", run.commit, run.seeds, seconds + run.seconds, rows), "code": run.code}


def _told(row: Row) -> dict[str, str | float | bool]:
    """`noticed_by`: the invariants that fell, or `test`; `where`: in which history, or which test."""
    value = int(not row.holds if row.is_control else row.holds)
    return {
        "name": row.name, "value": value, "low": value, "high": value, "unit": "fell" if row.is_control else "caught",
        "goal": "<= 0" if row.is_control else ">= 1", "holds": row.holds, "noticed_by": row.caught.what or "",
        "where": row.caught.where, "seconds": round(row.caught.seconds, 1),
    }  # fmt: skip


def write(run: Run, file: Path = REPORT) -> dict[str, Any]:
    """As every proof does; what stands there now."""
    report = joined(reports.held(file, "code", run.code), run)
    reports.write(report, file)
    return report


def tried() -> str:
    """The code that is copied and tried."""
    return reports.code(*COPIED)
