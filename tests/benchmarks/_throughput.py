"""Two copiers in turn, at several batch sizes: the runtime's task, and bare kafka-python in two manners."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.kafka.cluster import KafkaCluster
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_settings import KafkaSettings
from tests.benchmarks._copied_log import RecordsLog, found
from tests.benchmarks._laps import Lap, Runner
from tests.reports import Report, Row

# Entries of a lap: long enough to time, short enough that what else the machine does falls on all of them alike.
LAPS: Mapping[int, int] = {1: 400, 100: 5_000, 1_000: 10_000, 10_000: 20_000}
GOAL_AT, GOAL = 1_000, 0.6


@contextmanager
def apache_kafka() -> Generator[str]:
    """The bootstrap server of one node, alone on its data."""
    # What was copied goes at once where a topic says so: the disk need not hold all that `memory` sends.
    further = {"log.retention.check.interval.ms": "2000", "log.segment.delete.delay.ms": "1000"}
    with tempfile.TemporaryDirectory() as folder, KafkaCluster(Path(folder), further=further) as cluster:
        yield cluster.bootstrap


def throughput(given: argparse.Namespace, report: Report) -> None:
    """Rounds of all copiers, for each batch size."""
    for batch in given.batches:
        with ExitStack() as ends:
            platform = Platform(ends.enter_context(apache_kafka()), f"b{batch}.", given.seed)
            ends.callback(platform.log.close)
            runners = {
                "ours": ends.enter_context(platform.ours(batch)),
                "bare": ends.enter_context(platform.bare(batch, waits=False)),
                "safe": ends.enter_context(platform.bare(batch, waits=True)),
            }
            laps = in_turn(platform, runners, given.rounds, LAPS.get(batch, 10_000))
        report.add(*rows(batch, laps))


class Platform:
    """Under a prefix of its own: `control.v1`, and a log of records that grows by a lap when asked."""

    def __init__(self, bootstrap: str, prefix: str, seed: int, retention: Mapping[str, str] | None = None) -> None:
        self._bootstrap, self._prefix = bootstrap, prefix
        broker = KafkaBroker(KafkaSettings(bootstrap=bootstrap, topic_prefix=prefix))
        found(broker)
        self.log = RecordsLog(broker, seed, retention or {})

    def ours(self, batch: int) -> Runner:
        """A task of the runtime that copies the log."""
        where = ["--bootstrap", self._bootstrap, "--prefix", self._prefix, "--batch", str(batch)]
        return Runner("tests.benchmarks._task_copy", where)

    def bare(self, batch: int, *, waits: bool) -> Runner:
        """Bare kafka-python; `waits`: it is sure of each batch before it takes the next."""
        target = self._prefix + ("safe" if waits else "bare")
        where = ["--bootstrap", self._bootstrap, "--source", self._prefix + self.log.topic, "--target", target]
        return Runner("tests.benchmarks._bare_copy", [*where, "--batch", str(batch), *(["--waits"] if waits else [])])


def in_turn(
    platform: Platform, runners: Mapping[str, Runner], rounds: int, entries: int
) -> Mapping[str, Sequence[Lap]]:
    """A lap of each in every round, of the same entries; the first round is not counted."""
    laps: dict[str, list[Lap]] = {name: [] for name in runners}
    for number in range(rounds + 1):
        platform.log.write(entries)
        for name, runner in runners.items():
            lap = runner.lap(entries)
            if number > 0:
                laps[name].append(lap)
    return laps


def rows(batch: int, laps: Mapping[str, Sequence[Lap]]) -> list[Row]:
    """Figures of each copier, and ratios of laps of the same round."""
    least = GOAL if batch == GOAL_AT else None
    called = {"ours": "runtime", "bare": "bare kafka-python", "safe": "bare, flush and commit each batch"}
    made: list[Row] = []
    for name, label in called.items():
        made.append(Row.of(f"{label}, batches of {batch:,}", [lap.rate for lap in laps[name]], "records/s"))
        made.append(Row.of(f"{label}, batches of {batch:,}", [lap.cpu_us for lap in laps[name]], "us CPU/record"))
    for name in ("bare", "safe"):
        ratios = [ours.rate / peer.rate for ours, peer in zip(laps["ours"], laps[name], strict=True)]
        cpu = [peer.cpu_us / ours.cpu_us for ours, peer in zip(laps["ours"], laps[name], strict=True)]
        made.append(Row.of(f"rate of the runtime / {called[name]}, {batch:,}", ratios, "", least=least))
        made.append(Row.of(f"CPU of {called[name]} / runtime, {batch:,}", cpu, ""))
    return made
