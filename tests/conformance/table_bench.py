"""Ingestion, features and serving on one broker: a table is written, copied, and read by those who come late."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from services.features.app import build as build_features
from services.features.settings import FeaturesSettings
from services.serving.app import build as build_serving
from services.serving.settings import ServingSettings
from shared.contracts.topics import FEATURES
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.kafka_driver import Driver
from shared.runtime.log import Broker, BrokerAway, TopicPartition
from shared.runtime.process import Process
from shared.runtime.table_copies import Rows
from shared.runtime.tables import TableFollower
from tests import builders as b
from tests.conformance.task_bench import PARTITIONS, PATIENCE_S, TaskBench

ENTRIES_BETWEEN_COPIES = 20
TABLE = [TopicPartition(FEATURES.of(b.VIEW).name, p) for p in range(PARTITIONS)]


class TableBench:
    """Close it in the end."""

    def __init__(self, broker: Broker, client: Broker, folder: Path) -> None:
        self._folder = folder
        self._ends = ExitStack()
        self.records = TaskBench(broker, client, folder, (b.view(),))
        self._ends.callback(self.records.close)
        settings = FeaturesSettings(entries_between_table_copies=ENTRIES_BETWEEN_COPIES, table_copies_apart_s=0)
        self._drivers: list[Driver] = []
        self.features = self._started(self.records.driver_of(build_features(settings), folder / "features"))

    def late_serving(self, name: str, artifacts: ArtifactStore | None = None) -> Process:
        """A replica of serving that starts now and has read its tables; `artifacts` None: from the same store."""
        service = build_serving(ServingSettings())
        process = self._started(self.records.driver_of(service, self._folder / name, artifacts, name))
        self.turn_until(lambda: self.is_whole(process), f"{name} has read its tables")
        return process

    def publish(self, first: int, count: int) -> None:
        """Records, and all that ingestion and features make of them."""
        self.records.publish(range(first, first + count))
        self.records.run_dry()
        written = first + count
        self.turn_until(lambda: sum(self.positions(self.features)) >= written, "the table holds all records")
        self.turn_until(lambda: not self.features.doing() and not self.features.pending, "the table is copied")

    def turn_until(self, reached: Callable[[], bool], what: str) -> None:
        """Turn all services until then; fail with `what` if it takes too long."""
        until_s = time.monotonic() + PATIENCE_S
        while not reached():
            assert time.monotonic() < until_s, f"not within {PATIENCE_S} s: {what}"
            self.records.turn()
            for driver in self._drivers:
                try:
                    driver._turn_on_our_log(0.01)
                except BrokerAway as away:
                    driver._say_away(away)

    @staticmethod
    def is_whole(process: Process) -> bool:
        return TableFollower.of(process).why_unread(b.VIEW) is None

    @staticmethod
    def positions(process: Process) -> list[int]:
        """How far a process has read each log of the table."""
        return [process.followed.positions.get(tp, 0) for tp in TABLE]

    @staticmethod
    def rows(process: Process) -> list[Rows]:
        return [TableFollower.of(process).rows(tp) for tp in TABLE]

    def close(self) -> None:
        """Stop all services and give everything back."""
        self._ends.close()

    def _started(self, driver: Driver) -> Process:
        self._drivers.append(driver)
        self._ends.callback(driver.process.close)
        return driver.process
