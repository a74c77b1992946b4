"""Knows the other instances of a service on the same machine, by locks in a folder that they share.

A lock goes with its process, however it ends, so the others know within a tenth of a second. For instances on several
machines see `kafka_group`.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from shared.contracts.errors import HeadraceError
from shared.runtime.full_disks import DiskFull, room_for
from shared.runtime.ownership import MEMBERSHIP, Members

_LOOK_EVERY_S = 0.1
_TAKE_WITHIN_S = 1.0


class InstanceTaken(HeadraceError):
    """Another process runs as this instance."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"another process runs as instance {path.stem} of {path.parent.name} ({path} is locked): give each a "
            "HEADRACE_INSTANCE of its own"
        )


class FolderMembers:
    """One instance's place among those that share `folder`. Raises InstanceTaken if the name is taken.

    Where the disk has no room for the lock, each look tries again.
    """

    def __init__(self, folder: Path, instance: str) -> None:
        self._folder, self._instance = folder, instance
        self._lock: BinaryIO | None = None
        self._known: Members | None = None
        self._look_s = float("-inf")
        with suppress(DiskFull):
            self._join()

    def members(self) -> Members:
        """Who is there; looks ten times a second. Raises InstanceTaken and DiskFull while it has no lock."""
        if self._lock is None:
            self._join()
        now_s = time.monotonic()
        if self._known is None or now_s >= self._look_s:
            self._look_s = now_s + _LOOK_EVERY_S
            here = {path.stem: said for path in self._folder.glob("*.lock") if (said := self._said(path)) is not None}
            names = tuple(sorted(here))
            told = hashlib.sha256("".join(here[name] for name in names).encode()).hexdigest()
            if self._known is None:
                self._known = Members(told, names, tuple(name for name in names if name != self._instance))
            elif told != self._known.id:
                self._known = Members(told, names, self._known.names)
        return self._known

    def _join(self) -> None:
        path = self._folder / f"{self._instance}.lock"
        with room_for(MEMBERSHIP, path):
            self._lock = _taken(path)

    def leave(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.close()

    def _said(self, path: Path) -> str | None:
        """What a living instance wrote into its lock at its start; None if nobody holds it."""
        if path.stem == self._instance:
            return path.read_text()
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read() or None  # empty: it has only just come
        return None


def _taken(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as on_failure:
        lock = on_failure.enter_context(path.open("ab", buffering=0))
        until_s = time.monotonic() + _TAKE_WITHIN_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # Others hold it for a moment when they look whether somebody lives.
                if time.monotonic() > until_s:
                    raise InstanceTaken(path) from None
                time.sleep(0.01)
        lock.truncate(0)
        lock.write(str(uuid4()).encode())
        on_failure.pop_all()
    return lock
