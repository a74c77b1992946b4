"""A task's SQLite file: position, state, timers, outbox, sequences and buffers, changed together or not at all."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import orjson

from shared.contracts.errors import HeadraceError
from shared.runtime.full_disks import room_for
from shared.runtime.other_logs import foreign_log
from shared.runtime.sqlite_files import BESIDE, checked, connected, opened, was_set_aside

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS timers (key TEXT, name TEXT, due INTEGER, PRIMARY KEY (key, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS producers
    (task TEXT PRIMARY KEY, last INTEGER, watermark INTEGER, control INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS targets
    (topic TEXT, partition INTEGER, sequence INTEGER, acked INTEGER, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox
    (ordinal INTEGER PRIMARY KEY, topic TEXT, partition INTEGER, key BLOB, value BLOB, headers BLOB);
CREATE TABLE IF NOT EXISTS replays (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buffers (name TEXT, ordinal INTEGER, row BLOB, PRIMARY KEY (name, ordinal)) WITHOUT ROWID;
"""


class FileInUse(HeadraceError):
    """Another process works on the task's file."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is held by another process: stop it, or give this one a --data folder of its own")


class LostOwnership(HeadraceError):
    """The file moved on under us: another process committed to it."""

    def __init__(self, task: str, expected: tuple[int, int], found: tuple[int, int]) -> None:
        super().__init__(
            f"{task}: its file stands at (position, outbox) {found}, this process had {expected}; another owner went "
            "on with it. Stop this process: what it would publish, the other one does"
        )


@dataclass(slots=True)
class Producer:
    """What one producing task has shown in the input log."""

    last: int = 0
    watermark_ms: int = -(1 << 62)
    control: int = 0


@dataclass(slots=True)
class Target:
    """One partition that the task writes: its last sequence, and the offset behind the last acknowledged send."""

    sequence: int = 0
    acked: int = 0


class OutboxRow(NamedTuple):
    ordinal: int
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Changes:
    """Everything that one batch changed."""

    expected_position: int
    position: int
    meta: dict[str, int | str] = field(default_factory=dict[str, "int | str"])
    state: dict[str, bytes | None] = field(default_factory=dict[str, "bytes | None"])
    timers: dict[tuple[str, str], int | None] = field(default_factory=dict[tuple[str, str], "int | None"])
    producers: dict[str, Producer] = field(default_factory=dict[str, Producer])
    targets: dict[tuple[str, int], Target] = field(default_factory=dict[tuple[str, int], Target])
    outbox: list[OutboxRow] = field(default_factory=list[OutboxRow])
    buffers: list[tuple[str, int, bytes]] = field(default_factory=list[tuple[str, int, bytes]])
    sent_up_to: int = -1
    dropped: dict[str, int] = field(default_factory=dict[str, int])  # buffer -> rows below this ordinal go
    replays: list[str] = field(default_factory=list[str])  # ids of replayed dead letters that were taken
    expected_ordinal: int = 0  # of the outbox: a process that only says something moves no position


@dataclass(frozen=True, slots=True)
class FileCopy:
    """A whole file as it stood at a position of the task's log, and before a row of its outbox."""

    position: int
    ordinal: int
    data: bytes


class TaskFile:
    """One open file. `path` None keeps it in memory (the simulation), where `connection` outlives a crash.

    A file that SQLite finds damaged is set aside beside its place, which `set_aside` names, and an empty one opened.
    """

    def __init__(self, task: str, path: Path | None, connection: sqlite3.Connection | None = None) -> None:
        self.task = task
        self._path = path
        self.set_aside: Path | None = None
        self._unopened = False  # a copy is in the file's place that there was no room to open
        with ExitStack() as on_failure, self._room():
            self._lock = _locked(path) if path else None
            if self._lock:
                on_failure.callback(self._lock.close)
            self._open(connection)
            on_failure.pop_all()
        was_damaged = path is not None and was_set_aside(path)
        self._may_be_new = not was_damaged

    def _open(self, connection: sqlite3.Connection | None) -> None:
        if self._path is not None:
            self.connection, self.set_aside = opened(self._path, _prepare_on_disk)
        elif connection is not None:
            _prepare(connection)
            self.connection = checked(connection)
        else:
            self.connection = connected(None, _prepare)

    def _room(self) -> AbstractContextManager[None]:
        return room_for(self.task, self._path)

    def copier(self) -> Callable[[], FileCopy]:
        """What gives a copy of the file as it stands now or later; of a file on disk it may be called on any thread."""
        path = self._path
        if path is None:
            copy = _copied(self.connection)
            return lambda: copy
        return lambda: _copied_from(path)

    def restore(self, copy: FileCopy) -> None:
        """Go on from a copy in place of what the file holds.

        Raises DiskFull: then the file is as it was; or the copy is in its place, and cannot be opened before the same
        is asked for once more.
        """
        with self._room():
            if self._path is None:
                self.connection.deserialize(copy.data)
            else:
                self._put_in_place(self._path, copy)
        self._may_be_new = False

    def lost_its_copies(self) -> None:
        """There were copies that were further, and none is left: what was read is not known."""
        self._may_be_new = False

    def _put_in_place(self, path: Path, copy: FileCopy) -> None:
        if not self._unopened:
            self._replace(path, copy)
        self.connection = connected(path, _prepare_on_disk)
        self._unopened = False

    def _replace(self, path: Path, copy: FileCopy) -> None:
        unfinished = path.with_suffix(".new")
        try:
            unfinished.write_bytes(copy.data)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self.connection.close()
        for suffix in BESIDE:
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        unfinished.replace(path)
        self._unopened = True

    def bind(self, log_id: str) -> None:
        """Write the log's id into a new file. Raises DiskFull, and ForeignLog for one made beside another log."""
        held = self.meta("log_id")
        if held is None:
            with self._room():
                self.connection.execute("INSERT INTO meta VALUES ('log_id', ?)", (log_id,))
        elif held != log_id:
            raise foreign_log(f"the state of {self.task}", str(held), log_id)

    @property
    def is_new(self) -> bool:
        """Nothing was ever read into the file, nor into one that was set aside."""
        return self._may_be_new and (self.reached == (0, 0) or self.position == self.meta("began"))

    def bind_topic(self, topic_id: str | None) -> bool:
        """Write the id of the task's topic into a file that has none, or into which nothing of another was read.

        False if something was.
        """
        held = self.meta("topic_id")
        if topic_id is None or held == topic_id:
            return True
        if held is not None and not self.is_new:
            return False
        with self._room(), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            if held is not None:  # where the other topic began says nothing of this one
                self.connection.execute("DELETE FROM meta WHERE name IN ('position', 'began', 'begins_late')")
            self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('topic_id', ?)", (topic_id,))
        return True

    def begin_at(self, position: int) -> None:
        """Let a new file begin where its log does: what stood before is gone, and first numbers are baselines."""
        with self._room(), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            for name, value in (("position", position), ("began", position), ("begins_late", 1)):
                self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def meta(self, name: str) -> int | str | None:
        row = self.connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    @property
    def position(self) -> int:
        return int(self.meta("position") or 0)

    @property
    def ordinal(self) -> int:
        """Of the next row of the outbox."""
        return int(self.meta("ordinal") or 0)

    @property
    def reached(self) -> tuple[int, int]:
        """(position, ordinal): how far the file got."""
        return self.position, self.ordinal

    def state(self, key: str) -> bytes | None:
        row = self.connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def states(self) -> Iterable[tuple[str, bytes]]:
        return self.connection.execute("SELECT key, value FROM state ORDER BY key")

    def timers(self) -> list[tuple[int, str, str]]:
        return self.connection.execute("SELECT due, key, name FROM timers").fetchall()

    def producers(self) -> dict[str, Producer]:
        rows = self.connection.execute("SELECT task, last, watermark, control FROM producers")
        return {task: Producer(last, watermark, control) for task, last, watermark, control in rows}

    def targets(self) -> dict[tuple[str, int], Target]:
        rows = self.connection.execute("SELECT topic, partition, sequence, acked FROM targets")
        return {(topic, partition): Target(sequence, acked) for topic, partition, sequence, acked in rows}

    def replays(self) -> set[str]:
        """Ids of the replayed dead letters that were taken: few, and kept for good."""
        return {event_id for (event_id,) in self.connection.execute("SELECT id FROM replays")}

    def outbox(self) -> list[OutboxRow]:
        rows = self.connection.execute(
            "SELECT ordinal, topic, partition, key, value, headers FROM outbox ORDER BY ordinal"
        )
        return [OutboxRow(n, topic, p, key, value, _headers(headers)) for n, topic, p, key, value, headers in rows]

    def buffered(self, name: str, first: int, rows: int) -> list[bytes]:
        """Up to `rows` rows of a buffer from ordinal `first` on."""
        query = "SELECT row FROM buffers WHERE name = ? AND ordinal >= ? AND ordinal < ? ORDER BY ordinal"
        return [row for (row,) in self.connection.execute(query, (name, first, first + rows))]

    def buffer_ends(self) -> dict[str, int]:
        """Rows ever appended, by buffer."""
        rows = self.connection.execute("SELECT name, value FROM meta WHERE name LIKE 'buffer:%'")
        return {name.removeprefix("buffer:"): int(value) for name, value in rows}

    def commit(self, changes: Changes) -> None:
        """All of it in one transaction, if the file still stands where this process left it.

        Raises LostOwnership, and DiskFull, after which the same changes may be committed again.
        """
        with self._room():
            self._commit(changes)

    def _commit(self, changes: Changes) -> None:
        run, many = self.connection.execute, self.connection.executemany
        with self.connection:
            run("BEGIN IMMEDIATE")
            found, expected = (self.position, self.ordinal), (changes.expected_position, changes.expected_ordinal)
            if found != expected:
                raise LostOwnership(self.task, expected, found)
            self._write(changes)
            run("INSERT OR REPLACE INTO meta VALUES ('position', ?)", (changes.position,))
            many("INSERT OR REPLACE INTO meta VALUES (?, ?)", changes.meta.items())

    def _write(self, changes: Changes) -> None:
        many = self.connection.executemany
        if changes.state:
            many(
                "INSERT OR REPLACE INTO state VALUES (?, ?)",
                [(k, v) for k, v in changes.state.items() if v is not None],
            )
            many("DELETE FROM state WHERE key = ?", [(k,) for k, v in changes.state.items() if v is None])
        if changes.timers:
            kept = [(key, name, due) for (key, name), due in changes.timers.items() if due is not None]
            many("INSERT OR REPLACE INTO timers VALUES (?, ?, ?)", kept)
            gone = [timer for timer, due in changes.timers.items() if due is None]
            many("DELETE FROM timers WHERE key = ? AND name = ?", gone)
        many(
            "INSERT OR REPLACE INTO producers VALUES (?, ?, ?, ?)",
            [(task, p.last, p.watermark_ms, p.control) for task, p in changes.producers.items()],
        )
        many(
            "INSERT OR REPLACE INTO targets VALUES (?, ?, ?, ?)",
            [(topic, p, t.sequence, t.acked) for (topic, p), t in changes.targets.items()],
        )
        many(
            "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?)",
            [(r.ordinal, r.topic, r.partition, r.key, r.value, _packed(r.headers)) for r in changes.outbox],
        )
        many("INSERT INTO buffers VALUES (?, ?, ?)", changes.buffers)
        many("INSERT INTO replays VALUES (?)", [(event_id,) for event_id in changes.replays])
        if changes.sent_up_to >= 0:
            self.connection.execute("DELETE FROM outbox WHERE ordinal <= ?", (changes.sent_up_to,))
        many("DELETE FROM buffers WHERE name = ? AND ordinal < ?", changes.dropped.items())

    def close(self) -> None:
        self.connection.close()
        if self._lock:
            self._lock.close()


def _prepare(connection: sqlite3.Connection) -> None:
    connection.executescript(_TABLES)


def _prepare_on_disk(connection: sqlite3.Connection) -> None:
    # After a power cut the file may be older, never inconsistent: replay covers the rest.
    connection.execute("PRAGMA synchronous=NORMAL")
    _prepare(connection)


def _copied_from(path: Path) -> FileCopy:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return _copied(connection)
    finally:
        connection.close()


def _copied(connection: sqlite3.Connection) -> FileCopy:
    with connection:
        connection.execute("BEGIN")  # one snapshot for the figures and the pages
        return FileCopy(*reached_in(connection), connection.serialize())


def reached_in(connection: sqlite3.Connection) -> tuple[int, int]:
    """(position, ordinal): how far the file of a task got. Raises sqlite3.Error for any other file."""
    found = dict(connection.execute("SELECT name, value FROM meta WHERE name IN ('position', 'ordinal')"))
    return int(found.get("position", 0)), int(found.get("ordinal", 0))


def _locked(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_suffix(".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise FileInUse(path) from None
    with ExitStack() as on_failure:
        on_failure.callback(lock.close)
        lock.write(str(os.getpid()))
        lock.flush()
        on_failure.pop_all()
    return lock


def _packed(headers: Sequence[tuple[str, bytes]]) -> bytes:
    return orjson.dumps([(name, value.decode("latin-1")) for name, value in headers])


def _headers(packed: bytes) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value.encode("latin-1")) for name, value in orjson.loads(packed))
