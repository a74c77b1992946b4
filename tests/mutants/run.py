"""`make mutants`: plants each bug, sees what notices it, and does the same once more without any.

python -m tests.mutants.run [--only TEXT] [--seeds 1-12] [--jobs N]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.mutant import Mutant
from tests.mutants.planted import MUTANTS
from tests.mutants.tree import ROOT, Caught, Tree

REPORT = ROOT / "build" / "reports" / "mutants.json"
LIMIT_S = 580.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `holds`: the bug was noticed for the right reason, or nothing was found without it."""

    name: str
    caught: Caught
    holds: bool


def run(mutants: Sequence[Mutant], seeds: str, jobs: int) -> list[Row]:
    """All of them, printed as they end; then the clean tree over the same seeds and tests."""
    trees: SimpleQueue[Tree] = SimpleQueue()
    width = max(len(mutant.name) for mutant in mutants)

    def noticed(mutant: Mutant) -> Row:
        tree = trees.get()
        try:
            caught = tree.notice(mutant, seeds, LIMIT_S)
        finally:
            trees.put(tree)
        row = Row(mutant.name, caught, caught.what is not None)
        print(_line(row, width), flush=True)
        return row

    made = [Tree() for _ in range(jobs)]
    try:
        for tree in made:
            trees.put(tree.__enter__())
        with ThreadPoolExecutor(jobs) as pool:
            rows = list(pool.map(noticed, mutants))
        control = [_control(made[0], mutants, rows)]
        print(_line(control[0], width), flush=True)
        return [*rows, *control]
    finally:
        for tree in made:
            tree.__exit__()


def _control(tree: Tree, mutants: Sequence[Mutant], rows: Sequence[Row]) -> Row:
    """The clean tree: where a bug was noticed, nothing falls without it."""
    began_s = time.perf_counter()
    seeds: dict[str, set[int]] = defaultdict(set)
    tests: set[str] = set()
    for mutant, row in zip(mutants, rows, strict=True):
        tests.update(mutant.tests)
        if row.holds and not mutant.tests:
            seeds[mutant.histories].add(int(row.caught.where.rpartition(" ")[2]))
    found = [f"{name}: {said}" for name, said in (tree.failed(sorted(tests), LIMIT_S) if tests else {}).items()]
    for histories, played in sorted(seeds.items()):
        for line in tree.play(histories, ",".join(map(str, sorted(played))), ["none"], LIMIT_S):
            found += [f"{histories} {line['seed']}: {what}: {text}" for what, text in line["fell"]]
            found += [f"{histories} {line['seed']}: {line['stopped']}"] if line["stopped"] else []
    looked = [f"{histories} {','.join(map(str, sorted(played)))}" for histories, played in sorted(seeds.items())]
    where = "; ".join([*looked, f"{len(tests)} tests"])
    caught = Caught(None, where, "; ".join(found), time.perf_counter() - began_s)
    return Row("no bug", caught, not found)


def _line(row: Row, width: int) -> str:
    caught = row.caught
    if row.holds:
        what = (
            "nothing falls"
            if caught.what is None
            else caught.what
            if caught.what == "test"
            else f"falls: {caught.what}"
        )
    else:
        what = "FELL" if row.name == "no bug" else "NOT CAUGHT"
    said = "" if row.holds else f"  {caught.said[-400:]}"
    return f"{row.name:{width}}  {what:24}  {caught.seconds:6.1f} s  {caught.where}{said}"


def write_report(rows: Sequence[Row], seeds: str, seconds: float) -> None:
    """As every proof does."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    report = {
        "target": "mutants",
        "commit": head.stdout.strip(),
        "seed": seeds,
        "seconds": round(seconds, 1),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "rows": [
            {
                "name": row.name, "value": row.caught.what, "low": None, "high": None, "unit": row.caught.where,
                "goal": "nothing falls" if row.name == "no bug" else "caught", "holds": row.holds,
            }
            for row in rows
        ],
    }  # fmt: skip
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="bugs whose name, file or histories hold this text")
    parser.add_argument("--seeds", default="1-12", help="of simulated histories, such as 1-12 or 3,5")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--slice", default="1/1", help="such as 2/5: the second fifth of the list")
    options = parser.parse_args()
    part, parts = map(int, options.slice.split("/"))
    wanted = [m for m in MUTANTS if options.only in f"{m.name} {m.histories} {m.edits[0].file}"]
    mutants = wanted[part - 1 :: parts]
    if not mutants:
        parser.error(f"no bug has {options.only!r} in its name, file or histories")
    began_s = time.perf_counter()
    rows = run(mutants, options.seeds, options.jobs)
    write_report(rows, options.seeds, time.perf_counter() - began_s)
    caught = sum(row.holds for row in rows[:-1])
    print(f"{caught} of {len(mutants)} caught; {Path(REPORT).relative_to(ROOT)}")
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
