"""Ours: the runtime's driver turns a process with one task, from the log through handler and SQLite to the log.

`batch` is the most entries that one turn takes and commits in one transaction of the task's file on disk. A lap ends
when its entries are committed and everything derived from them is acknowledged.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shared.runtime.artifacts import ArtifactStore
from shared.runtime.host import Host
from shared.runtime.http_server import Health
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_driver import Driver, SystemClock, collect_seldom
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.process import Process
from shared.runtime.task_folder import TaskFolder
from tests.benchmarks._copied_log import TASK, service
from tests.benchmarks._laps import serve_laps


class TaskCopy:
    """One process of a service with one task, on files in `folder`."""

    def __init__(self, settings: KafkaSettings, folder: Path, executor: ThreadPoolExecutor, batch: int) -> None:
        host = Host(
            KafkaBroker(settings), SystemClock(), TaskFolder(folder / "state"), executor,
            ArtifactStore.at(str(folder / "objects")), "0", batch=batch,
        )  # fmt: skip
        self.process = Process(service(), host)
        self._driver, self._wait_s = Driver(self.process, Health("features")), 0.0
        collect_seldom()
        while TASK not in self.process.tasks:
            self._turn()

    def copy(self, entries: int) -> None:
        """The next `entries` of the log: committed, and what they led to acknowledged."""
        task = self.process.tasks[TASK]
        goal = task.position + entries
        while task.position < goal or self.process.pending:
            self._turn()
            if task.position > goal:
                raise RuntimeError(f"the log holds more than the lap: {task.position} of {goal}")

    def _turn(self) -> None:
        self._wait_s = self._driver._turn_on_our_log(self._wait_s)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--batch", type=int, required=True)
    given = parser.parse_args()
    settings = KafkaSettings(bootstrap=given.bootstrap, topic_prefix=given.prefix)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
        serve_laps(TaskCopy(settings, Path(folder), executor, given.batch).copy)


if __name__ == "__main__":
    main()
