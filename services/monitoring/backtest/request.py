"""What is to be replayed through what: the request of one backtest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts import control
from shared.contracts.definitions import Monitor
from shared.contracts.detectors import Detector
from shared.contracts.envelope import Event, Message, epoch_ms
from shared.contracts.errors import HeadraceError


class NothingToReplay(HeadraceError):
    """There is no recorded outcome that a setting could be tried on."""


class Overtaken(HeadraceError):
    """Outcomes have moved into a segment that the request's entries do not tell of yet: it is to be asked for anew."""


class Entry(BaseModel):
    """An accepted event of `control.v1`, as the console shows it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    control: int
    id: str
    type: str
    time: str
    source: str
    event: dict[str, Any]

    @property
    def message(self) -> Message:
        kind: type[Event] = getattr(control, self.type)
        return Message(self.id, self.source, epoch_ms(self.time), "", kind.model_validate(self.event))


class OfRecorded(BaseModel):
    """What every backtest is asked: of which model, and where its records lie. `entries`: those of `control.v1` that
    concern the model, in their order. `first`, `last`: outcomes [first, last). `anew`: whether it can be asked for anew
    where the archive has gone on since `entries` were read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    log_id: str
    data: str
    object_store: str
    entries: list[Entry]
    first: int = 0
    last: int | None = None
    anew: bool = False

    @property
    def segments(self) -> list[control.SegmentWritten]:
        """Of the model's outcomes."""
        written = (entry.message.event for entry in self.entries if entry.type == "SegmentWritten")
        return [e for e in written if isinstance(e, control.SegmentWritten) and e.subject == self.model]


class Request(OfRecorded):
    """`configurations`: what each of them says otherwise than the definition's `monitor`. `outcomes`: how many permuted
    ones false alarms are counted on; `runs`: of each rise; `seconds`: after so long an estimate is cut off."""

    configurations: list[dict[str, Any]] = Field(min_length=1)
    seed: int = 7
    outcomes: int = 1_000_000
    runs: int = 200
    seconds: float = 120.0


def configured(monitor: Monitor, otherwise: Mapping[str, Any]) -> Monitor:
    """A definition's `monitor` with what a configuration says otherwise. Another detector brings its own parameters.

    Raises pydantic's ValidationError for what a definition may not say either.
    """
    merged = {**monitor.model_dump(mode="json"), **otherwise}
    if merged["detector"] != monitor.detector and "detector_parameters" not in otherwise:
        merged["detector_parameters"] = {}
    return Monitor.written(merged)


def named(monitor: Monitor) -> str:
    """A configuration in a few words, for tables."""
    if monitor.detector is Detector.E_DETECTOR:
        tolerance = f", tolerance {monitor.tolerance:g}" if monitor.tolerance else ""
        return f"e_detector, one in {monitor.expected_run_length:,.0f}{tolerance}"
    said = ", ".join(f"{name} {value:g}" for name, value in monitor.detector_parameters.items())
    return f"{monitor.detector}{', ' if said else ''}{said}"
