"""What rests because the disk of its file is full: tasks by id, other files by what they are. Each is tried again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from shared.runtime.task_file import DiskFull

log = structlog.get_logger()
TRY_EVERY_S = 1.0


class FullDisks:
    """Of one process: when each is tried again, and what was said."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._full: dict[str, tuple[float, str]] = {}

    @property
    def said(self) -> Mapping[str, str]:
        """Why each of them rests."""
        return {what: said for what, (_, said) in self._full.items()}

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
