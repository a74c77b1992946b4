"""How fast a replay goes: in step with the platform, as fast as it can, or some times faster than the events were."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shared.contracts.errors import HeadraceError

_FACTOR = re.compile(r"(\d+(?:\.\d+)?)x")


class PaceUnknown(HeadraceError):
    def __init__(self, text: str) -> None:
        super().__init__(f"--pace {text} is not known: say lockstep, max, or a factor such as 100x")


@dataclass(frozen=True, slots=True)
class Pace:
    """`factor`: so many times as fast as the events were; None in lockstep, and for as fast as it goes."""

    lockstep: bool
    factor: float | None = None

    def wait_s(self, event_ms: int, first_ms: int, elapsed_s: float) -> float:
        """How long an event of this time still waits, `elapsed_s` after the replay began with `first_ms`."""
        if self.factor is None:
            return 0.0
        return max(0.0, (event_ms - first_ms) / 1000.0 / self.factor - elapsed_s)


def parse_pace(text: str) -> Pace:
    """`lockstep`, `max`, or `100x`. Raises PaceUnknown."""
    if text in ("lockstep", "max"):
        return Pace(lockstep=text == "lockstep")
    match = _FACTOR.fullmatch(text)
    if match is None or float(match[1]) == 0.0:
        raise PaceUnknown(text)
    return Pace(lockstep=False, factor=float(match[1]))
