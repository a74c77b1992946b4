"""Files of tasks in memory that outlive a crash of the process that used them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from deploy.simulation.crash_points import Fuse, Point
from shared.runtime.task_file import Changes, FileCopy, TaskFile, foreign_log

_NO_LIMIT = 0xFFFFFFFE


class MemoryFiles:
    """One process' disk: a SQLite database in memory for each task, kept while processes come and go."""

    def __init__(self, fuse: Fuse | None = None) -> None:
        self._fuse = fuse or Fuse()
        self._connections: dict[str, sqlite3.Connection] = {}
        self.bound_to: str | None = None
        self.full = False

    def bind(self, log_id: str) -> None:
        """Belong to a log. Raises ForeignLog."""
        if self.bound_to not in (None, log_id):
            raise foreign_log("the state in memory", str(self.bound_to), log_id)
        self.bound_to = log_id

    def open(self, task: str) -> TaskFile:
        """The file of a task, as its last commit left it."""
        self._fuse.burn(Point.OPEN)
        connection = self._connections.get(task)
        if connection is None:
            connection = self._connections[task] = sqlite3.connect(":memory:", isolation_level=None)
        return KeptFile(task, connection, self._fuse)

    def lose(self) -> None:
        """The disk is gone."""
        self._connections.clear()
        self.bound_to = None
        self.full = False

    def fill(self) -> None:
        """No file may grow any more."""
        self.full = True
        for connection in self._connections.values():
            [[pages]] = connection.execute("PRAGMA page_count").fetchall()
            connection.execute(f"PRAGMA max_page_count = {pages}")

    def free(self) -> None:
        """There is room again."""
        self.full = False
        for connection in self._connections.values():
            connection.execute(f"PRAGMA max_page_count = {_NO_LIMIT}")

    def image(self) -> Mapping[str, bytes]:
        """Every file as it stands."""
        return {task: connection.serialize() for task, connection in self._connections.items()}

    @property
    def tasks(self) -> list[str]:
        """Whose files there are."""
        return list(self._connections)

    def put_back(self, image: Mapping[str, bytes]) -> None:
        """The disk as it was when the image was taken."""
        self._connections.clear()
        for task, data in image.items():
            connection = self._connections[task] = sqlite3.connect(":memory:", isolation_level=None)
            if data:
                connection.deserialize(data)


class KeptFile(TaskFile):
    """A file that closing leaves as it is."""

    def __init__(self, task: str, connection: sqlite3.Connection, fuse: Fuse) -> None:
        super().__init__(task, None, connection)
        self._fuse = fuse

    def commit(self, changes: Changes) -> None:
        self._fuse.burn(Point.COMMIT)
        super().commit(changes)
        self._fuse.burn(Point.COMMITTED)

    def restore(self, copy: FileCopy) -> None:
        self._fuse.burn(Point.RESTORE)
        super().restore(copy)

    def close(self) -> None:
        """The connection is the disk: it stays."""
