"""Tasks that rest because the disk of their file is full. Each is tried again from time to time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

import structlog

from shared.runtime.task_file import DiskFull

log = structlog.get_logger()
TRY_EVERY_S = 1.0


class FullDisks:
    """By task: when it is tried again, and what was said."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._full: dict[str, tuple[float, str]] = {}

    @property
    def said(self) -> Mapping[str, str]:
        """Why each of them rests."""
        return {task_id: said for task_id, (_, said) in self._full.items()}

    def rests(self, task_id: str) -> bool:
        """Whether a task is not yet to be tried."""
        return task_id in self._full and self._now_s() < self._full[task_id][0]

    def full(self, task_id: str, error: DiskFull) -> None:
        """It rests from now on, or on."""
        if task_id not in self._full:
            log.error(str(error), error=type(error).__name__, task=task_id)
        self._full[task_id] = self._now_s() + TRY_EVERY_S, str(error)

    def written(self, task_id: str) -> None:
        """It has done its work."""
        if self._full.pop(task_id, None):
            log.info("the disk takes writes again", task=task_id)

    def keep(self, task_ids: Set[str]) -> None:
        """Any other task is no longer here."""
        for gone in self._full.keys() - task_ids:
            del self._full[gone]
