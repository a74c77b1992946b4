"""`make simulate`: plays many seeds and checks each history, or plays one and tells the least of it that fails."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from tests.scenarios.simulated import Altered, as_it_is
from tests.scenarios.simulation.history import Told, told
from tests.scenarios.simulation.plan import plan_of
from tests.scenarios.simulation.report import Run, so_far, table, written
from tests.scenarios.simulation.shrink import shrunk
from tests.scenarios.simulation.story import story
from tests.scenarios.simulation.workers import begin_quietly, histories

SAY_EVERY_S = 10.0
LISTED, SHRUNK = 10, 3  # of the failing seeds, the first so many


@dataclass(frozen=True)
class Arguments:
    seeds: int
    first: int
    seed: int | None
    jobs: int
    within_s: float


def main(arguments: Sequence[str] | None = None, altered: Altered = as_it_is) -> int:
    """The exit status: 1 if anything breaks, or if of many histories none was struck by a fault, or got to a decision.

    `altered`: what takes the place of each service, for tests; then there is one process only.
    """
    asked = _read(arguments)
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seed is None else (asked.seed,)
    run = _played(seeds, 1 if altered is not as_it_is else asked.jobs, altered, asked.within_s)
    if asked.seed is None:
        print(table(run))
        file, total = written(run)
        print(f"{so_far(total)}\nwritten to {file}")
    for missing in run.missing:
        print(f"NEVER: {missing}")
    _tell_failing(run, altered)
    return 0 if run.holds else 1


def _read(arguments: Sequence[str] | None) -> Arguments:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (SEEDS)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (FIRST)")
    parser.add_argument("--seed", type=int, default=None, help="only this one, and the least of it (SEED)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (JOBS)")
    parser.add_argument("--within", type=float, default=math.inf, help="seconds, then report what there is (WITHIN)")
    found = parser.parse_args(arguments)
    return Arguments(found.seeds, found.first, found.seed, found.jobs, found.within)


def _played(seeds: Sequence[int], jobs: int, altered: Altered, within_s: float) -> Run:
    run, began_s = Run(seeds[0]), time.monotonic()
    said_s = began_s
    jobs = min(jobs, len(seeds))
    with nullcontext(_in_this_process(seeds, altered)) if jobs == 1 else histories(seeds, jobs) as told_by_seed:
        for seed, what in told_by_seed:
            run.take(seed, what)
            run.wall_s = time.monotonic() - began_s
            if run.wall_s > within_s:
                break
            if time.monotonic() - said_s > SAY_EVERY_S:
                said_s = time.monotonic()
                failing = f", failing: {sorted(run.failing)[:LISTED]}" if run.failing else ""
                print(f"{run.histories:,} of {len(seeds):,}, {run.a_second:.2f} a second{failing}", flush=True)
    return run


def _in_this_process(seeds: Sequence[int], altered: Altered) -> Iterator[tuple[int, Told]]:
    return ((seed, told(plan_of(seed), altered)) for seed in seeds)


def _tell_failing(run: Run, altered: Altered) -> None:
    failing = sorted(run.failing)
    for seed in failing[:LISTED]:
        print(f"\nFAILS: seed {seed}; again: make simulate SEED={seed}")
        for broken in run.failing[seed].broken[:5]:
            print(f"  {broken}")
    for seed in failing[:SHRUNK]:
        least = shrunk(plan_of(seed), altered)
        print(
            f"\nThe least of it, found in {least.histories} histories:\n{story(least.plan, least.broken)}", flush=True
        )


if __name__ == "__main__":
    begin_quietly()
    sys.exit(main())
