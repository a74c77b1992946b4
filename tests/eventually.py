"""The one way in which tests wait for something that another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_EVERY_S = 0.02


def eventually(holds: Callable[[], bool], within_s: float, what: str) -> None:
    """Look until it holds; an AssertionError with `what` if it does not in time."""
    until_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until_s, f"not within {within_s:g} s: {what}"
        time.sleep(LOOK_EVERY_S)
