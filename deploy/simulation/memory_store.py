"""The object store of the simulation: in memory, and away when the scheduler says so."""

from __future__ import annotations

from collections.abc import Sequence

from obstore.store import MemoryStore

from shared.runtime.artifacts import ArtifactMissing, ArtifactStore


class SimulatedStore(ArtifactStore):
    """While it is `away` it neither takes nor gives anything."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.away = False

    def write(self, uri: str, data: bytes) -> None:
        self._ask(uri)
        super().write(uri, data)

    def read(self, uri: str) -> bytes:
        self._ask(uri)
        return super().read(uri)

    def names(self, prefix: str) -> list[str]:
        self._ask(prefix)
        return super().names(prefix)

    def remove(self, uris: Sequence[str]) -> None:
        for uri in uris:
            self._ask(uri)
        super().remove(uris)

    def _ask(self, uri: str) -> None:
        if self.away:
            raise ArtifactMissing(uri, "the simulation has taken the store away")
