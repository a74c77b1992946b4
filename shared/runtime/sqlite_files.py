"""SQLite files: opened, looked at for damage; a damaged one is set aside, and an empty one opened."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

BESIDE = ("-wal", "-shm")  # what SQLite keeps beside a file
Prepare = Callable[[sqlite3.Connection], None]


def opened(path: Path, prepare: Prepare, *, any_thread: bool = False) -> tuple[sqlite3.Connection, Path | None]:
    """A connection that `prepare` has set up, and where the file was set aside to if SQLite found it damaged.

    Raises sqlite3.OperationalError: that is the disk's or ours, and says nothing of the file.
    """
    try:
        return checked(connected(path, prepare, any_thread=any_thread)), None
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        aside = _set_aside(path)
        return connected(path, prepare, any_thread=any_thread), aside


def connected(path: Path | None, prepare: Prepare, *, any_thread: bool = False) -> sqlite3.Connection:
    """A connection that `prepare` has set up, to a file with a write-ahead log or to memory."""
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=not any_thread)
    with ExitStack() as on_failure:
        on_failure.callback(connection.close)
        if path is not None:
            connection.execute("PRAGMA journal_mode=WAL")
        prepare(connection)
        on_failure.pop_all()
    return connection


def checked(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The same, if SQLite finds its file whole. Raises sqlite3.DatabaseError for a damaged one, and closes it."""
    with ExitStack() as on_failure:
        on_failure.callback(connection.close)
        [[found], *_] = connection.execute("PRAGMA quick_check(1)").fetchall()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        on_failure.pop_all()
    return connection


def in_memory(image: bytes) -> sqlite3.Connection:
    """The image of a file, opened in memory and checked. Raises sqlite3.DatabaseError for a damaged one."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    # In memory there is no write-ahead log: https://www.sqlite.org/fileformat2.html, 1.3.3
    connection.deserialize(image[:18] + b"\x01\x01" + image[20:])
    return checked(connection)


def was_set_aside(path: Path) -> bool:
    """Whether a damaged file of this place was ever set aside."""
    return _aside(path, 1).exists()


def _set_aside(path: Path) -> Path:
    aside = next(p for n in itertools.count(1) if not (p := _aside(path, n)).exists())
    for suffix in ("", *BESIDE):
        if (part := Path(f"{path}{suffix}")).exists():
            part.rename(f"{aside}{suffix}")
    return aside


def _aside(path: Path, number: int) -> Path:
    return path.with_suffix(f".damaged-{number}")
