"""What each policy makes of a file: `python -m tests.benchmarks.policy_replay --example electricity --limit 20000`.

The first rows of the file are replayed in lockstep through the simulation, on virtual time, with real fits. Prints, for
each model of the example: retrainings, promotions, rollbacks, alarms, and the quality of the answers that went out,
counted by the console from the topics. One course each: small differences say nothing. Without `--file` it is the copy
in ../shared/data; where that is absent, nothing is measured, and it says so.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.local.replay_pace import parse_pace
from deploy.local.replay_publisher import ReplayPublisher
from deploy.local.replay_report import discrepancies, report, show_table
from deploy.local.replay_rows import read_rows
from deploy.local.replay_run import ReplayRun
from deploy.local.settle import Ends, Settled
from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.remembered_fits import RememberedFits
from services.console import app as console
from services.console.report import counts
from shared.contracts.topology import NO_DEFINITIONS
from shared.runtime.definition_files import load
from tests.shared_data import SHARED_DATA

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = {"electricity": "electricity.csv", "bike": "bike-hour.csv"}
MOST_ROUNDS = 20_000


def replayed(example: str, file: Path, limit: int) -> tuple[dict[str, Any], list[str]]:
    """The object of docs/replay.md for the file's first `limit` rows, and what in it does not add up."""
    loaded = load(EXAMPLES / example / "definitions.yaml")
    [replay] = loaded.replays
    definitions = NO_DEFINITIONS.with_applied(loaded.published)
    rows = read_rows(replay, definitions, file, limit=limit)
    platform = SimulatedPlatform(1, loaded.published, RememberedFits(), further=[console.build])
    published_at_s = time.perf_counter()

    def settle(ends: Ends) -> Settled:
        platform.world.settle(MOST_ROUNDS)
        return Settled(platform.history.position, ends)

    def tell(count: int) -> None:
        seconds = time.perf_counter() - published_at_s
        sys.stderr.write(f"\r{count:,} of {len(rows.records):,} records, {seconds:.0f} s")

    publisher = ReplayPublisher(replay.name, platform.world.broker.writer())
    ReplayRun(rows, definitions, publisher, settle, lambda: 0, tell).run(parse_pace("lockstep"), replay.block)
    sys.stderr.write("\n")
    process = platform.world.processes["console"]
    found = counts(console.read_model(process), console.raw_counts(process))
    models = [model.name for model in definitions.models_on(replay.source)]
    shown = report(found, replay.source, models, time.perf_counter() - published_at_s)
    return shown, discrepancies(shown, found["dead"])


def main() -> int:
    """Replay and print; 1 if the counts do not add up."""
    parser = argparse.ArgumentParser(description="Alarms, runs, promotions and quality of each policy on a file")
    parser.add_argument("--example", choices=FILES, default="electricity")
    parser.add_argument("--file", type=Path, help="a copy of the example's file; default: the one in ../shared/data")
    parser.add_argument("--limit", type=int, default=5_000, help="only so many rows of the file")
    given = parser.parse_args()
    file: Path = given.file or SHARED_DATA / FILES[given.example]
    if not file.exists():
        print(f"not measured: {file.name} is absent from {file.parent.name}; give a copy of it with --file")
        return 0
    shown, wrong = replayed(given.example, file, given.limit)
    print(f"{given.example}, the first {given.limit:,} rows")
    show_table(shown, Console(width=160))
    for line in wrong:
        print(f"does not add up: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
