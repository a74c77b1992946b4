"""Which replicas count: a version takes traffic when every replica heard from lately has reported it ready."""

from __future__ import annotations

from pydantic import Field

from shared.contracts.contract import Contract
from shared.contracts.envelope import NEVER_MS

TICKS = 3  # a replica that was silent for so many wall ticks is away


class Replicas(Contract):
    """`heard`: by replica, the wall tick after which it last said something. `ticks`: the newest wall ticks."""

    heard: dict[str, int] = Field(default_factory=dict[str, int])
    ticks: tuple[int, ...] = ()

    def ticked(self, time_ms: int) -> Replicas:
        """A wall tick; one that is not newer changes nothing."""
        if self.ticks and time_ms <= self.ticks[-1]:
            return self
        ticks = (*self.ticks, time_ms)[-TICKS:]
        here = {name: at for name, at in self.heard.items() if len(ticks) < TICKS or at >= ticks[0]}
        return Replicas(heard=here, ticks=ticks)

    def hearing(self, replica: str) -> Replicas:
        return Replicas(heard={**self.heard, replica: self.ticks[-1] if self.ticks else NEVER_MS}, ticks=self.ticks)

    def all_in(self, ready: tuple[str, ...]) -> bool:
        """At least one replica is there, and each that is has reported."""
        return bool(self.heard) and set(self.heard) <= set(ready)
