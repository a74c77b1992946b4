"""A full disk is told from other faults, and what meets one rests: tasks by id, other files by what they are.

SQLite's errors of input and output count as well: it has no other name for a file beside its own that finds no room.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import structlog

from shared.contracts.errors import HeadraceError

log = structlog.get_logger()
TRY_EVERY_S = 1.0
Found = TypeVar("Found")


class DiskFull(HeadraceError):
    """The disk takes no more; nothing of what was tried is written, and the file is as it was before."""

    def __init__(self, what: str, path: Path | None, error: Exception) -> None:
        super().__init__(
            f"{what}: {path or 'its file'} cannot be written: {error}. It pauses, nothing is lost, and it goes on by "
            "itself once there is room: free some on that disk, or move --data to a larger one. If there is room, see "
            "to the disk"
        )


@contextmanager
def room_for(what: str, path: Path | None) -> Generator[None]:
    """Raises DiskFull for what fails within because the disk is full. `what`: a task's id, or another file."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        if not _is_full(error):
            raise
        raise DiskFull(what, path, error) from error


class FullDisks:
    """Of one process: when each is tried again, and what was said."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._full: dict[str, tuple[float, str]] = {}

    @property
    def said(self) -> Mapping[str, str]:
        """Why each of them rests."""
        return {what: said for what, (_, said) in self._full.items()}

    def attempt(self, what: str, act: Callable[[], Found]) -> Found | None:
        """What `act` gives; None where it rests, or finds no room (raises DiskFull) and rests from now on."""
        if self.rests(what):
            return None
        try:
            found = act()
        except DiskFull as full:
            self.full(what, full)
            return None
        self.written(what)
        return found

    def rests(self, what: str) -> bool:
        """Whether it is not yet to be tried."""
        return what in self._full and self._now_s() < self._full[what][0]

    def full(self, what: str, error: DiskFull) -> None:
        """It rests from now on, or on."""
        if what not in self._full:
            log.error(str(error), error=type(error).__name__, rests=what)
        self._full[what] = self._now_s() + TRY_EVERY_S, str(error)

    def written(self, what: str) -> None:
        """It has done its work."""
        if self._full.pop(what, None):
            log.info("the disk takes writes again", goes_on=what)

    def forget(self, what: str) -> None:
        """It is no longer here."""
        self._full.pop(what, None)


def _is_full(error: sqlite3.OperationalError | OSError) -> bool:
    """Whether it failed for the disk takes no more."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
