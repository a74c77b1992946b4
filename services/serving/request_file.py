"""The file behind the log of requests: what was answered and is not yet known to stand in Kafka."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.runtime.other_logs import foreign_log
from shared.runtime.sqlite_files import connected, opened

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts
    (number INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT, partition INTEGER, time_ms INTEGER, event BLOB, trace TEXT);
"""


@dataclass(frozen=True, slots=True)
class Fact:
    """A prediction that was given: its partition of `predictions.<model>`, its event time, the event as JSON.

    `trace`: the `traceparent` of the request; None: it had none.
    """

    model: str
    partition: int
    time_ms: int
    event: bytes
    trace: str | None = None


class RequestFile:
    """One open file, safe to use from several threads. `path` None keeps it in memory.

    `identity` is new with each file, and numbers are never used twice in one: so ids made of both are unique. A file
    that SQLite finds damaged is set aside beside its place, which `set_aside` names, and an empty one opened. Raises
    sqlite3.OperationalError or OSError where the disk takes no file.
    """

    def __init__(self, path: Path | None) -> None:
        self._what = str(path or "the log of requests")
        self._lock = threading.Lock()
        self.set_aside: Path | None = None
        if path is None:
            self._connection = connected(None, _prepare, any_thread=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection, self.set_aside = opened(path, _prepare, any_thread=True)
        self.identity = self._once("identity", secrets.token_hex(16))

    def bind(self, log_id: str) -> None:
        """Write the log's id into a new file. Raises ForeignLog for one that was made beside another log."""
        held = self._once("log_id", log_id)
        if held != log_id:
            raise foreign_log(self._what, held, log_id)

    def add(self, facts: Iterable[Fact], sent: Iterable[int]) -> None:
        """Keep new facts and let go of those that were sent, in one transaction."""
        with self._lock, self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "INSERT INTO facts (model, partition, time_ms, event, trace) VALUES (?, ?, ?, ?, ?)",
                [(fact.model, fact.partition, fact.time_ms, fact.event, fact.trace) for fact in facts],
            )
            self._connection.executemany("DELETE FROM facts WHERE number = ?", [(number,) for number in sent])

    def after(self, number: int, rows: int) -> Sequence[tuple[int, Fact]]:
        """Up to `rows` facts with a higher number, in their order."""
        columns = "number, model, partition, time_ms, event, trace"
        query = f"SELECT {columns} FROM facts WHERE number > ? ORDER BY number LIMIT ?"
        with self._lock:
            found = self._connection.execute(query, (number, rows)).fetchall()
        return [(n, Fact(*fact)) for n, *fact in found]

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _once(self, name: str, value: str) -> str:
        with self._lock:
            self._connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
            return self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0]


def _prepare(connection: sqlite3.Connection) -> None:
    # Nothing can derive a request again: a power cut must not lose one that was answered.
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(_TABLES)
    if "trace" not in {name for _, name, *_ in connection.execute("PRAGMA table_info(facts)")}:
        # A file of an earlier release may hold requests that are not sent yet.
        connection.execute("ALTER TABLE facts ADD COLUMN trace TEXT")
