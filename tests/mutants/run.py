"""`make mutants`: plants each bug, sees what notices it, and does the same once more without any.

python -m tests.mutants.run [--only TEXT] [--seeds 1-30] [--jobs N]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from tests import reports
from tests.mutants.mutant import Mutant
from tests.mutants.planted import MUTANTS
from tests.mutants.report import NO_BUG, REPORT, Row, Run, line, tried, write
from tests.mutants.tree import ROOT, Caught, Tree

LIMIT_S = 580.0


def run(mutants: Sequence[Mutant], seeds: str, jobs: int, slice_: str) -> list[Row]:
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
        print(line(row, width), flush=True)
        return row

    made = [Tree() for _ in range(jobs)]
    try:
        for tree in made:
            trees.put(tree.__enter__())
        with ThreadPoolExecutor(jobs) as pool:
            rows = list(pool.map(noticed, mutants))
        control = [_control(made[0], mutants, rows, slice_)]
        print(line(control[0], width), flush=True)
        return [*rows, *control]
    finally:
        for tree in made:
            tree.__exit__()


def _control(tree: Tree, mutants: Sequence[Mutant], rows: Sequence[Row], slice_: str) -> Row:
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
        for said in tree.play(histories, ",".join(map(str, sorted(played))), ["none"], LIMIT_S):
            found += [f"{histories} {said['seed']}: {what}: {text}" for what, text in said["fell"]]
            found += [f"{histories} {said['seed']}: {said['stopped']}"] if said["stopped"] else []
    looked = [f"{histories} {','.join(map(str, sorted(played)))}" for histories, played in sorted(seeds.items())]
    where = "; ".join([*looked, f"{len(tests)} tests"])
    caught = Caught(None, where, "; ".join(found), time.perf_counter() - began_s)
    return Row(f"{NO_BUG}{slice_}", caught, not found)


def told_by(mutant: Mutant) -> str:
    """Its name, its histories and the files that it changes: what `--only` looks at."""
    return " ".join([mutant.name, mutant.histories, *(edit.file for edit in mutant.edits)])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="bugs whose name, files or histories hold one of these texts")
    parser.add_argument("--seeds", default="1-30", help="of simulated histories, such as 1-12 or 3,5")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--slice", default="1/1", help="such as 2/5: the second fifth of the list")
    options = parser.parse_args()
    part, parts = map(int, options.slice.split("/"))
    texts = options.only.split(",")
    wanted = [mutant for mutant in MUTANTS if any(one in told_by(mutant) for one in texts)]
    mutants = wanted[part - 1 :: parts]
    if not mutants:
        parser.error(f"no bug has {options.only!r} in its name, files or histories")
    slice_ = "".join(f", {what}" for what in (options.only, "" if parts == 1 else options.slice) if what)
    began_s, code, commit = time.perf_counter(), tried(), reports.commit()
    rows = run(mutants, options.seeds, options.jobs, slice_)
    report = write(Run(commit, code, options.seeds, time.perf_counter() - began_s, rows))
    caught = sum(row.holds for row in rows if not row.is_control)
    known = [row for row in report["rows"] if not row["name"].startswith(NO_BUG)]
    said = f"{caught} of {len(mutants)} caught; on this code {sum(row['holds'] for row in known)} of {len(known)}"
    print(f"{said}, of {len(MUTANTS)} in all; {REPORT.relative_to(ROOT)}")
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
