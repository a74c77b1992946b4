"""`make chaos KILLS=1000 SEED=1`: real processes on Apache Kafka are killed, frozen and crashed while records flow.

In rounds of a hundred kills, each on a platform of its own with the next seed. Exit code 1 if any planned fault did not
fire, anything is lost, doubled or different in a replay, or a round breaks off for whatever reason; then the round's
folder is kept, and the command that plays it again is said. So it is if a hundred kills or more met too little.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from deploy.kafka.cluster import KafkaCluster
from deploy.local.platform import ROOT
from tests import reports
from tests.chaos.launcher import PreparedServices
from tests.chaos.schedule import SERVICES
from tests.chaos.strike_round import Round, run_round
from tests.chaos.striker import Dealt
from tests.chaos.summary import failures, shortfalls, show, write

KILLS_A_ROUND = 100
STARTED_WITHIN_S = 180.0
KEPT = ROOT / "build" / "chaos"


@contextmanager
def stage() -> Generator[tuple[str, PreparedServices]]:
    """A broker, and every service imported: what all rounds share."""
    with tempfile.TemporaryDirectory(prefix="headrace-chaos-") as name:
        folder = Path(name)
        kafka = KafkaCluster(folder / "kafka", start_timeout_s=STARTED_WITHIN_S)
        with kafka as cluster, PreparedServices(SERVICES, folder) as prepared:
            yield cluster.bootstrap, prepared


def main() -> int:
    """Play all rounds, show and write what came of them; 1 if anything failed."""
    parser = argparse.ArgumentParser(description="kill, freeze and crash real processes on Apache Kafka")
    parser.add_argument("--kills", type=int, default=1_000, help="so many processes die (a few more at most a round)")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; the next ones count on from it")
    given = parser.parse_args()
    terminal, began_s, commit = Console(soft_wrap=True, highlight=False), time.monotonic(), reports.commit()
    rounds: list[Round] = []
    left, seed = given.kills, given.seed
    with stage() as (bootstrap, prepared):
        try:
            while left > 0:
                rounds.append(_round(seed, min(left, KILLS_A_ROUND), bootstrap, prepared, terminal))
                left, seed = left - KILLS_A_ROUND, seed + 1
        finally:  # whoever has no more time keeps what was played
            seconds = time.monotonic() - began_s
            show(rounds, seconds, terminal)
            write(rounds, given.seed, seconds, commit)
    return 1 if failures(rounds) or shortfalls(rounds) else 0


def _round(seed: int, kills: int, bootstrap: str, prepared: PreparedServices, terminal: Console) -> Round:
    folder = KEPT / str(seed)
    shutil.rmtree(folder, ignore_errors=True)
    began_s = time.monotonic()

    def told(one: Dealt) -> None:
        found = "; ".join(f"{name}: {said.text}" for name, said in one.in_hand.items()) or "nothing in hand"
        what = f"{one.strike.kind}{f' ({one.strike.point})' if one.strike.point else ''}"
        said = one.failure or found
        terminal.print(f"seed {seed} {time.monotonic() - began_s:5.0f} s  {what}  {said}", markup=False)

    found = run_round(seed, kills, bootstrap, prepared, folder, told)
    for text in failures([found]):
        terminal.print(f"FAILED {text}", markup=False)
    terminal.print(
        f"seed {seed}: {found.deaths} killed in {len(found.dealt)} strikes, {found.published} records, "
        f"{'all holds' if found.holds else f'FAILED; its folder is {folder}'}; {time.monotonic() - began_s:.0f} s",
        markup=False,
    )
    if found.holds:
        shutil.rmtree(folder, ignore_errors=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
