"""A configuration on a stream of losses until its first alarm: what estimates are made of.

As in service, the e-detector first takes `reference_outcomes` losses for its reference, and watches from there on;
river's detectors have no reference, and watch from the first loss on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.monitoring import loss_monitor, reference_loss, river_detector
from services.monitoring.reference_loss import Reference
from services.monitoring.river_detector import RiverRun
from shared.contracts import autocorrelation
from shared.contracts.definitions import Monitor
from shared.contracts.detectors import Detector

_AT_ONCE = 256


class Watcher(Protocol):
    def first_alarm(self, losses: Sequence[float]) -> int | None:
        """The next losses of the stream, up to an alarm: which of them raised it. Not asked again after one."""
        ...


def unwatched(monitor: Monitor) -> int:
    """So many losses at the beginning of a stream are the reference, and raise no alarm."""
    return monitor.reference_outcomes if monitor.detector is Detector.E_DETECTOR else 0


def watcher(monitor: Monitor, reference: Sequence[float]) -> Watcher | None:
    """A watcher for what follows the first `unwatched` losses of a stream; None where these bound no mean."""
    if monitor.detector is not Detector.E_DETECTOR:
        return _Rivers(monitor)
    found = reference_loss.bounded(autocorrelation.of_values(reference), monitor.expected_run_length)
    return None if found is None else _Ours(monitor, found)


class _Ours:
    def __init__(self, monitor: Monitor, reference: Reference) -> None:
        self._state = loss_monitor.start(
            reference.upper, monitor.tolerance, monitor.expected_run_length, block=reference.block
        )

    def first_alarm(self, losses: Sequence[float]) -> int | None:
        before = self._state.position + 1
        for first in range(0, len(losses), _AT_ONCE):
            self._state, alarms = loss_monitor.update_many(self._state, losses[first : first + _AT_ONCE])
            if alarms:
                return alarms[0].position - before
        return None


class _Rivers:
    def __init__(self, monitor: Monitor) -> None:
        self._run = RiverRun(river_detector.start(monitor.detector, monitor.detector_parameters))
        self._seen = 0

    def first_alarm(self, losses: Sequence[float]) -> int | None:
        for n, loss in enumerate(losses):
            self._seen += 1
            if self._run.take(loss, self._seen) is not None:
                return n
        return None
