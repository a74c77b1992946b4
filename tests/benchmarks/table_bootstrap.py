"""What a copy saves who comes late: `python -m tests.benchmarks.table_bootstrap --entries 100000 --entities 2000`.

On the embedded broker a table's log is written, and copied by features before its last tenth. A replica of serving then
starts twice, with the object store and without it: the seconds from its first turn until its table is whole, and the
ratio. Writes build/reports/table_bootstrap.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.local.embedded import EmbeddedBroker
from services.features.app import build as build_features
from services.features.settings import FeaturesSettings
from services.serving.app import build as build_serving
from services.serving.settings import ServingSettings
from shared.contracts.envelope import Encoded, encode
from shared.contracts.topics import CONTROL, FEATURES, RECORDS
from shared.inputs.windows import WindowState, observe
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.host import Host
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_driver import SystemClock
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import SendError, TopicPartition
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.tables import TableFollower
from shared.runtime.task_folder import TaskFolder
from tests import builders as b
from tests.reports import Report, Row

LOG = TopicPartition(FEATURES.of(b.VIEW).name, 0)
OWNER = f"features/compute/records.{b.SOURCE}.v1/0"
PATIENCE_S = 300.0


class Bootstraps:
    """A platform of one view on one broker. `entries` of its table's log are written by `write`."""

    def __init__(self, bootstrap: str, folder: Path, executor: ThreadPoolExecutor) -> None:
        self._broker = KafkaBroker(KafkaSettings(bootstrap=bootstrap, embedded=True))
        self._folder, self._executor = folder, executor
        (folder / "objects").mkdir()
        self.store = ArtifactStore.at((folder / "objects").as_uri())
        admin = self._broker.admin()
        for topic in (CONTROL.name, LOG.topic, RECORDS.of(b.SOURCE).name):
            admin.create(topic, 1, {})
        admin.close()
        self._writer = self._broker.writer()
        for event in (b.founded(), b.applied(b.source(), b.view())):
            self._send(TopicPartition(CONTROL.name, 0), encode(b.message(event)))
        self._states: dict[str, WindowState] = {}
        self.written = 0

    def write(self, entries: int, entities: int) -> None:
        """Rows as the owner of the table writes them: each record counts in the windows of its entity."""
        for _ in range(entries):
            self.written += 1
            entity, time_ms = f"card-{self.written % entities}", b.T0_MS + 60_000 * self.written
            state = observe(
                b.view(), self._states.get(entity), time_ms, f"t{self.written}", {"amount": float(self.written % 97)}
            )
            self._states[entity] = state
            row = b.windows(entity=entity, state=state.as_json())
            message = b.message(row, source=OWNER, sequence=self.written, key=entity, time_ms=time_ms, control=2)
            self._send(LOG, encode(message))
        self._writer.flush(PATIENCE_S)

    def copied(self) -> int:
        """Let features copy what is written; the position of the copy."""
        settings = FeaturesSettings(entries_between_table_copies=1, table_copies_apart_s=0)
        features = self._process(build_features(settings), "features")
        position, until_s = 0, time.monotonic() + PATIENCE_S
        while position < self.written:
            assert time.monotonic() < until_s, "features does not copy its table"
            features.turn(0.01)
            copies = features.history.newest.tables.get((b.VIEW, 0), ())
            position = copies[-1].position if copies else 0
        features.close()
        return position

    def seconds(self, name: str, artifacts: ArtifactStore) -> tuple[float, int]:
        """Until a replica of serving that starts now has its table whole, and where it began in the log."""
        process = self._process(build_serving(ServingSettings()), name, artifacts)
        table, began_s = TableFollower.of(process), time.perf_counter()
        while table.why_unread(b.VIEW) is not None:
            assert time.perf_counter() < began_s + PATIENCE_S, table.why_unread(b.VIEW)
            process.turn(0.01)
        took_s, began = time.perf_counter() - began_s, process.followed.began(LOG)
        assert table.rows(LOG).keys() == self._states.keys()
        process.close()
        return took_s, began or 0

    def close(self) -> None:
        self._writer.close()

    def _send(self, tp: TopicPartition, encoded: Encoded) -> None:
        self._writer.send(tp, encoded.key, encoded.value, encoded.headers, _must_stand)

    def _process(self, service: Service, name: str, artifacts: ArtifactStore | None = None) -> Process:
        files = TaskFolder(self._folder / name)
        return Process(service, Host(self._broker, SystemClock(), files, self._executor, artifacts or self.store, "0"))


def _must_stand(_offset: int | None, error: SendError | None) -> None:
    assert error is None, error


def rows_of(whole_s: float, copied_s: float, began: int, entries: int) -> list[Row]:
    """The rows of the report."""
    return [
        Row.of("from the beginning of the log", [whole_s], "s"), Row.of("from the copy", [copied_s], "s"),
        Row.of("from the beginning / from the copy", [whole_s / copied_s], "ratio"),
        Row.of("entries", [entries], "entries"), Row.of("where the copy ends", [began], "offset"),
    ]  # fmt: skip


def main() -> int:
    """Measure, print, write the report."""
    parser = argparse.ArgumentParser(description="Seconds until a late replica has a table, by copy and by log")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--entities", type=int, default=2_000)
    given = parser.parse_args()
    report = Report("table_bootstrap", seed=0)
    with (
        EmbeddedBroker() as embedded,
        ThreadPoolExecutor(2) as executor,
        tempfile.TemporaryDirectory() as folder,
    ):
        bootstraps = Bootstraps(embedded.bootstrap, Path(folder), executor)
        bootstraps.write(given.entries * 9 // 10, given.entities)
        copied = bootstraps.copied()
        bootstraps.write(given.entries - bootstraps.written, given.entities)
        whole_s, at = bootstraps.seconds("whole", ArtifactStore.at("memory:"))
        copied_s, began = bootstraps.seconds("late", bootstraps.store)
        bootstraps.close()
    assert (at, began) == (0, copied)
    report.add(*rows_of(whole_s, copied_s, began, given.entries))
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
