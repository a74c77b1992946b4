"""Copies of tasks' files in the object store: what a task goes on from when its disk is lost or it moves elsewhere.

A copy is a SQLite file, compressed, at `{log id}/copies/{task}/{position}-{outbox ordinal}-{sha256}`. The newest is
the one that got furthest through the log; whoever made it, it holds what the log up to there determines.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import zstandard

from shared.runtime.artifacts import ArtifactStore
from shared.runtime.sqlite_files import in_memory
from shared.runtime.task_file import FileCopy
from shared.runtime.task_names import stored_as, task_of

KEPT = 2  # should the newest be damaged, there is one more

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class _Name:
    position: int
    ordinal: int
    sha256: str
    uri: str


class Copies:
    """The copies that belong to one log. Every method raises ArtifactMissing while the store does not answer."""

    def __init__(self, store: ArtifactStore, log_id: str) -> None:
        self._store, self._log_id = store, log_id

    def keep(self, task: str, copy: FileCopy) -> None:
        """Store a copy, and remove all but the furthest two of the task.

        Raises sqlite3.DatabaseError for one that is damaged, as the file is then, and keeps what there is.
        """
        in_memory(copy.data).close()
        data = zstandard.compress(copy.data)
        sha256 = hashlib.sha256(data).hexdigest()
        self._store.write(f"{self.folder(task)}/{copy.position:019}-{copy.ordinal:019}-{sha256}", data)
        self._store.remove([name.uri for name in self._names(task)[:-KEPT]])

    def beyond(self, task: str, reached: tuple[int, int]) -> FileCopy | None:
        """The furthest whole copy of a task beyond (position, outbox ordinal); None if there is none."""
        for name in reversed(self._names(task)):
            if (name.position, name.ordinal) <= reached:
                return None
            data = self._store.read(name.uri)
            if hashlib.sha256(data).hexdigest() == name.sha256:
                return FileCopy(name.position, name.ordinal, zstandard.decompress(data))
            _log.error("the copy %s is damaged and passed over for the one before it", name.uri)
        return None

    def named_beyond(self, task: str, reached: tuple[int, int]) -> bool:
        """Whether there is a copy beyond (position, outbox ordinal), whole or not."""
        return any((name.position, name.ordinal) > reached for name in self._names(task))

    def hand_over(self, task: str, membership: str, copy: FileCopy) -> None:
        """Store the last copy of an owner, and say that it lets go of the task under this membership."""
        self.keep(task, copy)
        self._store.write(self._handed_over(task), membership.encode())

    def handed_over(self, task: str, membership: str) -> bool:
        """Whether the former owner has said so."""
        name = self._handed_over(task)
        return name in self._store.names(name.rpartition("/")[0]) and self._store.read(name) == membership.encode()

    def reached(self) -> Mapping[str, tuple[int, int]]:
        """How far the furthest copy of each task got: (position, outbox ordinal)."""
        found: dict[str, tuple[int, int]] = {}
        for uri in self._store.names(f"{self._log_id}/copies"):
            task, name = task_of(uri.split("/")[-2]), _named(uri)
            found[task] = max(found.get(task, (0, 0)), (name.position, name.ordinal))
        return found

    def folder(self, task: str) -> str:
        """Where the copies of a task are, the furthest last."""
        return f"{self._log_id}/copies/{stored_as(task)}"

    def _handed_over(self, task: str) -> str:
        return f"{self._log_id}/handed_over/{stored_as(task)}/membership"

    def _names(self, task: str) -> list[_Name]:
        return sorted(_named(uri) for uri in self._store.names(self.folder(task)))


def _named(uri: str) -> _Name:
    position, ordinal, sha256 = uri.rpartition("/")[2].split("-")
    return _Name(int(position), int(ordinal), sha256, uri)
