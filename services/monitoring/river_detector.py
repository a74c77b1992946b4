"""river's ADWIN, PageHinkley and KSWIN on a model's loss, as alternatives to Headrace's own e-detector.

They guarantee no run length: what they do on a model's own outcomes, `headrace backtest drift` shows. An alarm is a
detection with a higher mean loss since than before; a detected fall only starts the detector again, as river does after
every detection.

Since when: of ADWIN the beginning of the window that it keeps (as exact as its buckets are large), of KSWIN its newest
`stat_size` losses, of PageHinkley the newest minimum of its cumulated sum. Where outcomes without a loss stand between,
the first two take the others for evenly spread. Sources: Bifet and Gavalda, "Learning from time-changing data with
adaptive windowing" (2007); Page, "Continuous inspection schemes" (1954); Raab, Heusinger and Schleif, "Reactive soft
prototype computing for concept drift streams" (2020).

What goes on from a stored state gives the same alarms as the detector that was never put away (`river_adapters`). A
state is bounded: O(log outcomes) for ADWIN, the window for KSWIN, eleven numbers for PageHinkley.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.monitoring.json_state import JsonState
from services.monitoring.loss_monitor import LossAlarm, Statistic
from services.monitoring.river_adapters import Adapter, opened
from shared.contracts.detectors import Detector, complete


@dataclass(frozen=True, slots=True)
class RiverState(JsonState):
    """A detector between two outcomes. `parameters`: all of them, in the order of the contract's table.

    count and total: losses since the (re)start; `first_position`: the first of them, or of what comes next. `position`:
    of the newest outcome seen, invalid ones included. `inner`: the detector's own state as text; None before its first
    loss.
    """

    detector: str
    parameters: tuple[tuple[str, int | float], ...]
    first_position: int
    position: int
    count: int = 0
    total: float = 0.0
    inner: str | None = None


def start(detector: Detector, given: Mapping[str, int | float], first_position: int = 0) -> RiverState:
    """A detector whose next outcome has position `first_position`. Raises ValueError for parameters that it lacks."""
    parameters = tuple(complete(detector, given).items())
    return RiverState(detector.value, parameters, first_position, first_position - 1)


def update(state: RiverState, loss: float | None, position: int) -> tuple[RiverState, LossAlarm | None]:
    """One matured outcome. A loss that is None, not finite or outside [0, 1] moves nothing. Raises RiverMissing."""
    if loss is None or not 0.0 <= loss <= 1.0:
        return replace(state, position=position), None
    run = RiverRun(state)
    alarm = run.take(loss, position)
    return run.state(), alarm


class RiverRun:
    """A state opened for many losses, each in [0, 1]. Raises RiverMissing."""

    def __init__(self, state: RiverState) -> None:
        self._before, self._parameters = state, dict(state.parameters)
        self._first, self._position = state.first_position, state.position
        self._count, self._total = state.count, state.total
        self._detector = self._opened(state.inner)

    def take(self, loss: float, position: int) -> LossAlarm | None:
        """The next loss; the alarm, if it raises one."""
        self._position = position
        if not self._count:
            self._first = position  # outcomes of the version before may lie between
        self._count += 1
        self._total += loss
        if not self._detector.update(loss, position):
            return None
        alarm = self._alarm()
        self._first, self._count, self._total = position + 1, 0, 0.0
        self._detector = self._opened(None)
        return alarm

    def state(self) -> RiverState:
        """As of the newest loss."""
        return replace(
            self._before,
            first_position=self._first,
            position=self._position,
            count=self._count,
            total=self._total,
            inner=self._detector.stored() if self._count else None,
        )

    def _opened(self, inner: str | None) -> Adapter:
        return opened(Detector(self._before.detector), self._parameters, inner)

    def _alarm(self) -> LossAlarm | None:
        """None where the loss has not risen."""
        count, total, position = self._detector.since_change()
        before = self._count - count
        if count < 1 or before < 1 or total / count <= (self._total - total) / before:
            return None
        mean_before = (self._total - total) / before
        return LossAlarm(
            statistic=Statistic.LOSS,
            evidence=self._detector.statistic,
            threshold=self._detector.threshold,
            reference_mean_upper=mean_before,
            tolerance=0.0,
            null_mean=mean_before,
            leading_bet=0.0,
            first_position=self._first,
            position=self._position,
            change_position=self._newest(count) if position is None else position,
            count=self._count,
            count_since_change=count,
            run_mean=self._total / self._count,
            since_change_mean=total / count,
        )

    def _newest(self, count: int) -> int:
        """The position of the first of the newest `count` losses, all since the start taken for evenly spread."""
        apart = (self._position - self._first) / max(1, self._count - 1)
        return self._position - round((count - 1) * apart)
