"""The folder of run-time data: one platform at a time, and what becomes of state whose log is gone."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from shared.contracts.errors import HeadraceError

_STATE = ("state", "objects", "kafka")


class DataFolderInUse(HeadraceError):
    """Another platform runs from the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Another Headrace runs from {folder}, and two would take each other's state: stop it, or choose another "
            "folder with --data"
        )


class DataFolder:
    """`folder` locked for this process. State beside an embedded broker lives apart, in `embedded/`.

    That broker forgets all when it stops, so what was made beside it is of no use any more; state beside Apache Kafka
    is kept.
    """

    def __init__(self, folder: Path, *, embedded: bool) -> None:
        self.folder = folder.absolute()
        self.of_services = self.folder / "embedded" if embedded else self.folder
        self._embedded = embedded
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise DataFolderInUse(self.folder) from None
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def prepare(self, *, fresh: bool, show: Callable[[str], None]) -> None:
        """Make room for the start: forget what lay beside an embedded broker; with `fresh` set aside the rest."""
        if self._embedded and self.of_services.exists():
            shutil.rmtree(self.of_services)
            show(f"removed {self.of_services}: the embedded broker has forgotten the log beside which it was made")
        elif fresh and not self._embedded:
            self._set_aside(show)
        self.of_services.mkdir(parents=True, exist_ok=True)

    def _set_aside(self, show: Callable[[str], None]) -> None:
        found = [self.folder / name for name in _STATE if (self.folder / name).exists()]
        if not found:
            return
        aside = self.folder / f"aside-{time.strftime('%Y%m%dT%H%M%S')}"
        aside.mkdir()
        for path in found:
            path.rename(aside / path.name)
        show(f"the old state was set aside in {aside}: delete it when you no longer need it")
