"""Where a process may be killed in the midst of what it does: at each call into what it stands on."""

from __future__ import annotations

from enum import StrEnum


class Point(StrEnum):
    """The calls at which a process may die, before each of them; after a commit as well."""

    SEND = "before a send"
    COMMIT = "before a commit"
    COMMITTED = "behind a commit"
    OPEN = "before a file is opened"
    RESTORE = "before a file is restored"
    STORE_WRITE = "before a write to the store"
    STORE_READ = "before a read from the store"


class Killed(BaseException):
    """Not an error: nothing that a process does may catch it."""

    def __init__(self, point: Point) -> None:
        super().__init__(point)
        self.point = point


class Fuse:
    """Of one process. Once lit, it burns down by a call each time, and the last call kills."""

    def __init__(self) -> None:
        self._left: int | None = None

    def light(self, calls: int) -> None:
        """Kill at this call into a port, counted from now."""
        self._left = calls

    def put_out(self) -> None:
        """The process lives on, or is another one."""
        self._left = None

    def burn(self, point: Point) -> None:
        """A call. Raises Killed."""
        if self._left is None:
            return
        self._left -= 1
        if self._left <= 0:
            self._left = None
            raise Killed(point)
