"""Since when replicas are asked to have a version ready: what a report of readiness answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.contracts.control import Reference
from shared.contracts.envelope import Message
from shared.contracts.platform import ModelState, Platform
from shared.runtime.history import ControlHistory


@dataclass(frozen=True, slots=True)
class Asked:
    """A version to have ready, since the control event `cause`. Asked for again later, it has another cause."""

    model: str
    version: int
    artifact: Reference
    cause: Message


class AskedVersions:
    """Reads the control log along, entry by entry: what leaves `to_load` and comes back is asked for anew."""

    def __init__(self, history: ControlHistory) -> None:
        self._history = history
        self._position = 0
        self._asked: dict[tuple[str, int], Asked] = {}

    def read(self) -> Iterable[Asked]:
        """All that is asked for, by the newest entry."""
        while self._position < self._history.position:
            message = self._history.entries[self._position].message
            before, after = self._history.at(self._position), self._history.at(self._position + 1)
            self._position += 1
            if message is not None and after.models is not before.models:
                self._take(message, before, after)
        return self._asked.values()

    def _take(self, message: Message, before: Platform, after: Platform) -> None:
        for name, state in after.models.items():
            if before.models.get(name) is not state:
                self._take_model(message, name, _artifacts(before.model(name)), _artifacts(state))

    def _take_model(
        self, message: Message, name: str, before: Mapping[int, Reference], after: Mapping[int, Reference]
    ) -> None:
        for number in before.keys() - after.keys():
            del self._asked[name, number]
        for number, artifact in after.items():
            if number not in before:
                self._asked[name, number] = Asked(name, number, artifact, message)


def _artifacts(state: ModelState) -> dict[int, Reference]:
    return {number: state.versions[number].artifact for number in state.to_load}
