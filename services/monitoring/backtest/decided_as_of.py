"""What was decided of a model when an outcome was judged, as near as the log tells it.

Which control position the judge had adopted at an outcome is not recorded. But each of its reports names how many
outcomes it had decided, so what stands before a report was known within `report_every` outcomes; and a version that an
outcome names as its champion had been promoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.monitoring.backtest.request import Entry
from shared.contracts import control as c
from shared.contracts.envelope import Message
from shared.contracts.platform import ModelState, Platform

_Reports = c.QualityMeasured | c.DriftDetected | c.VerdictReached


class DecidedAsOf:
    """Moves on through the log with the outcomes: ask in their order."""

    def __init__(self, model: str, entries: Sequence[Entry]) -> None:
        self._model = model
        self._entries = [(entry.control, entry.message) for entry in entries]
        self._next = 0
        self._platform = Platform()

    def at(self, ordinal: int, champion: int | None, due_ms: int) -> ModelState:
        """The model's state for outcome number `ordinal`, which was predicted under `champion`."""
        for place in range(self._next, len(self._entries)):
            event = self._entries[place][1].event
            if isinstance(event, _Reports) and event.model == self._model:
                if event.position > ordinal:
                    break
                self._take(place)
        state = self._platform.model(self._model)
        if champion is None or champion == state.champion:
            return state
        for place in range(self._next, len(self._entries)):
            message = self._entries[place][1]
            promoted = self._promoted(message)
            if promoted is not None:
                # A later return to an older version must not be taken for the time before it was replaced.
                if promoted == champion and message.time_ms <= due_ms:
                    self._take(place)
                break
        return self._platform.model(self._model)

    def newest(self) -> Platform:
        """After the last entry."""
        self._take(len(self._entries) - 1)
        return self._platform

    def _take(self, place: int) -> None:
        for control, message in self._entries[self._next : place + 1]:
            self._platform = replace(self._platform, position=control - 1).after(message)
        self._next = max(self._next, place + 1)

    def _promoted(self, message: Message) -> int | None:
        event = message.event
        if isinstance(event, c.VersionPromoted | c.ModelRolledBack) and event.model == self._model:
            return event.version
        return None
