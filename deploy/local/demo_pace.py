"""Waits until the platform has settled while somebody keeps asking it for predictions.

Each answer is a fact that serving logs, so a platform that is asked is never quite at rest. The client asks while
anything happens, through every swap, and is held only for the moment in which two rounds of answers show that nothing
moves any more; should anything be decided in that moment, it goes on at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from deploy.local.demo_asking import Asking
from deploy.local.progress_client import ProgressClient
from deploy.local.settle import STALLED_AFTER_S, DoesNotSettle, Pictures, Settling, known_ends, unsettled
from shared.contracts.topics import PREDICTIONS

LOOK_EVERY_S = 0.02
QUIET_ROUNDS = 2
LONGEST_HOLD_S = 0.4


class _StillMoving(Exception):
    """What was taken for rest was none."""


class Pace:
    """`settle` as a stage wants it. `asking` None: nobody asks yet."""

    def __init__(self, urls: Mapping[str, str], progress: ProgressClient) -> None:
        self._services = tuple(urls)
        self._progress = progress
        self.asking: Asking | None = None

    def settle(self, own_ends: Mapping[str, int], look: Callable[[], None]) -> None:
        """Return once settled, with the client asking. Raises DoesNotSettle."""
        if self.asking is None:
            Settling(self._services, self._progress.ask, waiting_for=lambda reasons: look()).settle(own_ends)
            return
        asking, until_s = self.asking, time.monotonic() + STALLED_AFTER_S
        while True:
            control = self._calm_down(own_ends, look, until_s)
            asking.hold()
            try:
                self._settle_held(own_ends, control)
            except _StillMoving:
                continue
            finally:
                asking.go()
            return

    def _calm_down(self, own_ends: Mapping[str, int], look: Callable[[], None], until_s: float) -> int:
        """Until nobody works and nothing is decided; the control position then."""
        quiet, before = 0, dict(own_ends)
        while True:
            pictures = self._progress.ask(self._services)
            quiet = quiet + 1 if _calm(pictures, before) else 0
            before = known_ends(pictures, own_ends)
            if quiet >= QUIET_ROUNDS:
                return _control(pictures)
            look()
            if time.monotonic() > until_s:
                raise DoesNotSettle(STALLED_AFTER_S, unsettled(pictures, own_ends))
            time.sleep(LOOK_EVERY_S)

    def _settle_held(self, own_ends: Mapping[str, int], control: int) -> None:
        until_s = time.monotonic() + LONGEST_HOLD_S

        def ask(services: object) -> Pictures:
            pictures = self._progress.ask(self._services)
            if _control(pictures) != control or time.monotonic() > until_s:
                raise _StillMoving
            return pictures

        Settling(self._services, ask).settle(own_ends)


def _calm(pictures: Pictures, before: Mapping[str, int]) -> bool:
    """Whether all has been applied that was sent by the last round, with nothing in work.

    Predictions do not count: as long as somebody asks, there are always some on their way.
    """
    for progress in pictures.values():
        if progress is None or progress.waiting or progress.doing:
            return False
        logs = (log for log in progress.applied if not log.startswith(PREDICTIONS.prefix))
        if any(before.get(log, 0) > progress.applied[log] for log in logs):
            return False
    return len({progress.control for progress in pictures.values() if progress}) == 1


def _control(pictures: Pictures) -> int:
    return max((progress.control for progress in pictures.values() if progress), default=0)
