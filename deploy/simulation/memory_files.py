"""Files of tasks in memory that outlive a crash of the process that used them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deploy.simulation.crash_points import Fuse, Point
from shared.runtime.other_logs import foreign_log
from shared.runtime.task_file import Changes, FileCopy, TaskFile

_READS = ("SELECT", "PRAGMA", "BEGIN")


class MemoryFiles:
    """One process' disk: a SQLite database in memory for each task, kept while processes come and go.

    While it is `full` whatever would write any of them is refused, and `refused` told.
    """

    def __init__(self, fuse: Fuse | None = None, refused: Callable[[], None] = lambda: None) -> None:
        self._fuse, self.refused = fuse or Fuse(), refused
        self._connections: dict[str, _Connection] = {}
        self.bound_to: str | None = None
        self.full = False

    def bind(self, log_id: str) -> None:
        """Belong to a log. Raises ForeignLog."""
        if self.bound_to not in (None, log_id):
            raise foreign_log("the state in memory", str(self.bound_to), log_id)
        self.bound_to = log_id

    def open(self, task: str) -> TaskFile:
        """The file of a task, as its last commit left it. Raises DiskFull for a new one while the disk is."""
        self._fuse.burn(Point.OPEN)
        return KeptFile(task, self._connections.get(task) or self._new(task), self._fuse)

    def _new(self, task: str) -> _Connection:
        connection = self._connections[task] = sqlite3.connect(":memory:", isolation_level=None, factory=_Connection)
        connection.disk = self
        return connection

    def lose(self) -> None:
        """The disk is gone, and the one in its place is empty."""
        self._connections.clear()
        self.bound_to = None
        self.full = False

    def fill(self) -> None:
        """Nothing can be written any more."""
        self.full = True

    def free(self) -> None:
        """There is room again."""
        self.full = False

    def image(self) -> Mapping[str, bytes]:
        """Every file as it stands."""
        return {task: connection.image() for task, connection in self._connections.items()}

    @property
    def tasks(self) -> list[str]:
        """Whose files there are."""
        return list(self._connections)

    def put_back(self, image: Mapping[str, bytes]) -> None:
        """The disk as it was when the image was taken, and as full as it is."""
        self._connections.clear()
        for task, data in image.items():
            connection = self._new(task)
            if data:
                connection.put_back(data)


class _Connection(sqlite3.Connection):
    """Of one file of a disk. Refuses as SQLite does what a full disk does not take."""

    disk: MemoryFiles

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.disk.full and not sql.startswith(_READS):
            self._refuse()
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        if self.disk.full:
            self._refuse()
        return super().executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        """What makes the tables; where they are, it writes nothing."""
        if self.disk.full and not self.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._refuse()
        return super().executescript(sql_script)

    def deserialize(self, data: Any, /, *, name: str = "main") -> None:
        if self.disk.full:
            self._refuse()
        super().deserialize(data, name=name)

    def image(self) -> bytes:
        """The file as it stands: empty if there was never room for anything."""
        [[pages]] = self.execute("PRAGMA page_count").fetchall()
        return self.serialize() if pages else b""

    def put_back(self, data: bytes) -> None:
        """What nobody wrote: the disk is another one."""
        super().deserialize(data)

    def _refuse(self) -> None:
        self.disk.refused()
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error


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
