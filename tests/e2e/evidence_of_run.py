"""What a platform that runs leaves as evidence for the checker: all topics, the object store, and every task's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from obstore.store import LocalStore

from deploy.local.progress_client import ProgressClient
from deploy.local.running_platform import RunningPlatform
from deploy.local.settle import Settling
from services.console.cli.common_options import ask
from shared.runtime.artifacts import ArtifactMissing, ArtifactStore
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.task_file import TaskFile
from shared.runtime.task_names import task_of
from tests.scenarios.invariants import check
from tests.scenarios.topic_history import TopicHistory


@dataclass(frozen=True)
class EvidenceOfRun:
    """The platform may have stopped since."""

    history: TopicHistory
    artifacts: ArtifactStore
    files: Mapping[str, TaskFile]

    def violations(self) -> list[str]:
        """What does not hold, of all invariants."""
        assert self.files.keys() == {task.id for task in self.history.definitions.tasks}
        return [str(one) for one in check(self.history, self.artifacts, self.files)]


def gathered(data: Path) -> EvidenceOfRun:
    """Of the platform that runs from this folder, once it has settled. Raises DoesNotSettle."""
    running = RunningPlatform.noted(data)
    assert running is not None, f"no platform runs from {data}"
    urls = ask(running.console, "/v1/services")
    with ProgressClient(urls) as client:
        Settling(list(urls), client.ask).settle({})
    kafka = KafkaSettings(bootstrap=running.bootstrap, embedded=running.embedded)
    return gathered_from(services_folder(data, embedded=running.embedded), kafka)


def gathered_from(of_services: Path, kafka: KafkaSettings) -> EvidenceOfRun:
    """Of a platform that has settled, whose services keep their state there.

    Files, and their copies in the store, are taken before the topics are read: whatever position one of them has, the
    topics hold everything up to it.
    """
    artifacts = CopiesAsTheyStand(of_services / "objects")
    files: dict[str, TaskFile] = {}
    for path in task_paths(of_services):
        file = copied(path)
        # Of a task that has moved from one instance to another, each has a file: the one that got furthest is in use.
        if path_id(path) not in files or file.reached > files[path_id(path)].reached:
            files[path_id(path)] = file
    history = TopicHistory.read(KafkaBroker(kafka))
    return EvidenceOfRun(history, artifacts, files)


class CopiesAsTheyStand(ArtifactStore):
    """A store with the copies of tasks' files of this moment: tasks go on, new ones come and old ones go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(LocalStore(folder.resolve()))
        self._copies = ArtifactStore.at("memory:")
        for uri in filter(_is_copy, super().names("")):
            with suppress(ArtifactMissing):
                self._copies.write(uri, super().read(uri))

    def names(self, prefix: str) -> list[str]:
        others = [uri for uri in super().names(prefix) if not _is_copy(uri)]
        return sorted([*others, *self._copies.names(prefix)])

    def read(self, uri: str) -> bytes:
        return self._copies.read(uri) if _is_copy(uri) else super().read(uri)


def _is_copy(uri: str) -> bool:
    return uri.split("/")[1] == "copies"


def services_folder(data: Path, *, embedded: bool) -> Path:
    """Where the services keep their state below a folder of run-time data."""
    return data / "embedded" if embedded else data


def task_paths(of_services: Path, service: str = "*", instance: str = "*") -> list[Path]:
    """The files of the tasks of all services, or of one, or of one instance."""
    return sorted((of_services / "state").glob(f"{service}/{instance}/*~*.sqlite"))


def path_id(path: Path) -> str:
    """The task that a file belongs to."""
    return task_of(path.stem)


def copied(path: Path) -> TaskFile:
    """The file as of its last commit, in memory: its process may go on with it."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with closing(sqlite3.connect(path)) as file:
        file.backup(copy)
    return TaskFile(path_id(path), None, copy)
