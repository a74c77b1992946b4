"""Founding the platform, and the ticks of the wall clock: written from outside, for no handler reads a clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import uuid4

from shared.contracts.control import PlatformFounded, Tick
from shared.contracts.definitions import Clock
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL
from shared.contracts.topology import NO_DEFINITIONS
from shared.runtime.history import ControlHistory
from shared.runtime.host import Clock as ProcessClock
from shared.runtime.intake import CONTROL_TP
from shared.runtime.log import Admin, Reader
from shared.runtime.other_logs import forgotten_log
from shared.runtime.outside import OutsideWriter
from shared.runtime.topic_settings import topic_config


class Beside(Protocol):
    """What the worker uses of its process."""

    @property
    def history(self) -> ControlHistory: ...
    @property
    def bound_to(self) -> str | None: ...
    @property
    def outside(self) -> OutsideWriter: ...
    @property
    def clock(self) -> ProcessClock: ...
    @property
    def admin(self) -> Admin: ...
    @property
    def reader(self) -> Reader: ...


def random_id() -> str:
    """An id that nothing derives: of a log's founding, which has no cause."""
    return str(uuid4())


class Ticks:
    """Writes `PlatformFounded` into a `control.v1` that is empty to its end, and from then on a tick each period.

    Two registries write the same ticks, under the same ids; of two foundings the first in the log counts. Beside state
    of a platform that was founded before, it founds no other: it raises ForeignLog.
    """

    def __init__(self, process: Beside, tick_ms: int, new_id: Callable[[], str] = random_id) -> None:
        self._process, self._tick_ms, self._new_id = process, tick_ms, new_id
        self._there = self._founded = False
        self._token: int | None = None
        self._ticked_ms: int | None = None

    def turn(self) -> None:
        if self._process.history.log_id is not None:
            self._tick(self._process.history.log_id)
        elif not self._founded and self._is_empty():
            wall_ms = self._process.clock.wall_ms()
            founding = PlatformFounded(log_id=self._new_id())
            self._process.outside.publish(CONTROL, founding, event_id=self._new_id(), time_ms=wall_ms)
            self._founded = True

    @property
    def doing(self) -> Sequence[str]:
        """Time goes on without end, so ticks are no work; a platform that is being founded is."""
        return () if self._process.history.log_id is not None else ("founding the platform",)

    def close(self) -> None:
        """Nothing to give back."""

    def _is_empty(self) -> bool:
        """Whether the log, read to its end, holds nothing that founds it. Creates the topic if it is missing."""
        if not self._there:
            if self._process.admin.partitions(CONTROL.name) is None:
                self._refuse_beside_old_state()
                self._process.admin.create(CONTROL.name, 1, topic_config(CONTROL.name, NO_DEFINITIONS))
            self._there = True
            return False
        if self._token is None:
            self._token = self._process.reader.fetch_token()
            return False
        if not self._process.reader.end_reached_since(CONTROL_TP, self._token):
            return False
        self._refuse_beside_old_state()
        return True

    def _refuse_beside_old_state(self) -> None:
        held = self._process.bound_to
        if held is not None:
            raise forgotten_log(
                "the broker holds no platform", f"log {held}, beside which this service's state was made"
            )

    def _tick(self, log_id: str) -> None:
        time_ms = self._process.clock.wall_ms() // self._tick_ms * self._tick_ms
        if self._ticked_ms is not None and time_ms <= self._ticked_ms:
            return
        self._ticked_ms = time_ms
        event_id = derived_id(log_id, "tick", str(time_ms))
        self._process.outside.publish(CONTROL, Tick(clock=Clock.WALL), event_id=event_id, time_ms=time_ms)
