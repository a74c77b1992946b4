"""The object store of the simulation: in memory, and away when the scheduler says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Self

from obstore.store import MemoryStore

from deploy.simulation.crash_points import Fuse, Point
from shared.runtime.artifacts import ArtifactMissing, ArtifactStore
from shared.runtime.copies import Copies


class SimulatedStore(ArtifactStore):
    """While it is `away` it neither takes nor gives anything, and `refused` is told of each call.

    `whole`: the store that this one is a view of.
    """

    def __init__(self, whole: SimulatedStore | None = None, fuse: Fuse | None = None) -> None:
        self._held = MemoryStore() if whole is None else whole._held
        super().__init__(self._held)
        self._whole, self._fuse = whole or self, fuse or Fuse()
        self.away = False
        self.refused: Callable[[], None] = lambda: None

    def seen_by(self, fuse: Fuse) -> Self:
        """The same store, for a process that may die in the midst of a call."""
        return type(self)(self, fuse)

    def lose_newest_copies(self, log_id: str, tasks: Iterable[str]) -> int:
        """As if the newest copy of each task had never been made; how many there were."""
        folders = [super(SimulatedStore, self).names(Copies(self, log_id).folder(task)) for task in tasks]
        newest = [names[-1] for names in folders if names]
        super().remove(newest)
        return len(newest)

    def write(self, uri: str, data: bytes) -> None:
        self._ask(uri, Point.STORE_WRITE)
        super().write(uri, data)

    def read(self, uri: str) -> bytes:
        self._ask(uri, Point.STORE_READ)
        return super().read(uri)

    def names(self, prefix: str) -> list[str]:
        self._ask(prefix, Point.STORE_READ)
        return super().names(prefix)

    def remove(self, uris: Sequence[str]) -> None:
        for uri in uris:
            self._ask(uri, Point.STORE_WRITE)
            super().remove([uri])

    def _ask(self, uri: str, point: Point) -> None:
        self._fuse.burn(point)
        if self._whole.away:
            self._whole.refused()
            raise ArtifactMissing(uri, "the simulation has taken the store away")
