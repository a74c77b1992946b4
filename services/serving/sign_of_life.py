"""A replica's sign of life: one at its start, and at every wall tick, with its requests since the last."""

from __future__ import annotations

from collections.abc import Sequence

from services.serving.request_figures import RequestMeter
from shared.contracts.control import ReplicaSeen
from shared.contracts.envelope import Message
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL
from shared.runtime.process import Process

WALL = "wall"


class SignOfLife:
    """One a process. What it says of a tick has one id, whatever restarts come between."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._answered = -1
        self.meter = RequestMeter()

    @classmethod
    def of(cls, process: Process) -> SignOfLife:
        """The one among the workers of a process."""
        return next(worker for worker in process.workers if isinstance(worker, cls))

    def turn(self) -> None:
        history = self._process.history
        if history.log_id is None:
            return
        position, _ = history.newest.last_ticks.get(WALL, (0, None))
        if position <= self._answered:
            return
        self._answered = position
        cause = self._founding() if position == 0 else history.entries[position - 1].message
        if cause is not None:
            self._say(cause)

    @property
    def doing(self) -> Sequence[str]:
        """Nothing that a tick would not ask for."""
        return ()

    def close(self) -> None:
        """Nothing to give back."""

    def _founding(self) -> Message | None:
        accepted = (entry.message for entry in self._process.history.entries)
        return next((message for message in accepted if message is not None), None)

    def _say(self, cause: Message) -> None:
        replica = self._process.instance
        event_id = derived_id(cause.id, "seen", replica)
        if self._process.history.position_of(event_id) is not None:
            return  # said before a restart; the requests since then go with the next
        seen = ReplicaSeen(replica=replica, figures=self.meter.take())
        self._process.outside.publish(CONTROL, seen, event_id=event_id, time_ms=cause.time_ms, key=replica)
