"""Which reference the loss monitor of a version works against, and when it changes over.

Until `needed` outcomes of the version have matured in service the monitor works against the held-back rows (if the run
gave a bound; otherwise nothing is monitored, and `watching` says so); then it starts anew against the bound of those
first outcomes, block by block where they hang together. Where they bound nothing, because they hang together too much
for their number, nothing is monitored from then on. A change during these first outcomes is found against the held-back
rows, or not at all. What is said of losses here is true of residuals as well, of which no run gives a bound.

Where the definition selects one of river's detectors (`river_detector`), that one alarms on the loss and the monitor
rests: it only says which loss is normal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from services.monitoring import loss_monitor, reference_loss, river_detector
from services.monitoring.json_state import JsonState
from services.monitoring.loss_monitor import LossAlarm, LossMonitorState, Statistic
from services.monitoring.reference_loss import Reference, ReferenceSource, ReferenceState
from services.monitoring.river_detector import RiverState
from shared.contracts.definitions import Monitor
from shared.contracts.detectors import Detector, complete


@dataclass(frozen=True, slots=True)
class WatchState(JsonState):
    """One version's monitor with its reference; `monitor` is None while nothing bounds the reference loss.

    `river`: the detector that alarms in the monitor's place, if one does.
    """

    reference: ReferenceState
    tolerance: float
    expected_run_length: float
    position: int
    monitor: LossMonitorState | None = None
    statistic: Statistic = Statistic.LOSS
    river: RiverState | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The state that `to_json` wrote."""
        monitor, river = data["monitor"], data.get("river")
        return cls(
            reference=ReferenceState.from_json(data["reference"]),
            tolerance=data["tolerance"],
            expected_run_length=data["expected_run_length"],
            position=data["position"],
            monitor=None if monitor is None else LossMonitorState.from_json(monitor),
            statistic=Statistic(data.get("statistic", Statistic.LOSS)),
            river=None if river is None else RiverState.from_json(river),
        )


def start(
    reference: ReferenceState,
    tolerance: float,
    expected_run_length: float,
    first_position: int = 0,
    statistic: Statistic = Statistic.LOSS,
) -> WatchState:
    """A watch whose next outcome has position `first_position`; arguments as of `loss_monitor.start`."""
    return _against(
        WatchState(reference, tolerance, expected_run_length, first_position - 1, statistic=statistic),
        reference_loss.reference(reference),
    )


def update(state: WatchState, value: float | None, position: int | None = None) -> tuple[WatchState, LossAlarm | None]:
    """One matured outcome of the version; an invalid value of the statistic moves nothing. The outcome that completes
    the reference is still judged by the old one."""
    position = state.position + 1 if position is None else position
    monitor, river, alarm = state.monitor, state.river, None
    if river is not None:
        river, alarm = river_detector.update(river, value, position)
    elif monitor is not None:
        monitor, alarm = loss_monitor.update(monitor, value, position=position)
    state = replace(state, monitor=monitor, river=river, position=position)
    if value is None or reference_loss.is_complete(state.reference):
        return state, alarm
    state = replace(state, reference=reference_loss.update(state.reference, value))
    if reference_loss.is_complete(state.reference):
        state = _against(state, reference_loss.reference(state.reference))
    return state, alarm


def detecting(state: WatchState, chosen: Monitor) -> WatchState:
    """The watch with the detector that a definition selects. Unchanged if it is the one that watches; another begins
    with the next outcome, against the reference as far as it is known."""
    if state.river is None and chosen.detector is Detector.E_DETECTOR:
        return state
    if state.river is not None and (state.river.detector, dict(state.river.parameters)) == (
        chosen.detector,
        complete(chosen.detector, chosen.detector_parameters),
    ):
        return state
    if chosen.detector is Detector.E_DETECTOR:
        return _against(replace(state, river=None), reference_loss.reference(state.reference))
    river = river_detector.start(chosen.detector, chosen.detector_parameters, state.position + 1)
    return replace(state, river=river)


def watching(state: WatchState) -> ReferenceSource | None:
    """What the monitor compares with now; None: the reference is too small, and nothing is monitored."""
    reference = reference_loss.reference(state.reference)
    return None if reference is None else reference.source


def _against(state: WatchState, reference: Reference | None) -> WatchState:
    if reference is None:
        return replace(state, monitor=None)
    monitor = loss_monitor.start(
        reference.upper,
        state.tolerance,
        state.expected_run_length,
        statistic=state.statistic,
        first_position=state.position + 1,
        block=reference.block,
    )
    return replace(state, monitor=monitor)
