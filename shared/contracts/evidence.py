"""Monitoring's events of `control.v1`: how well a model answers, alarms, and the judge's verdicts."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from shared.contracts.contract import Contract
from shared.contracts.envelope import Event


class QualityMeasured(Event):
    """Prequential figures of the answers that went out, at a position in the decided outcomes."""

    model: str
    position: int
    last_record_id: str
    labelled: int
    since_first_version: int
    version: int | None
    loss: float | None  # mean monitored loss in [0, 1] of the last window
    window: dict[str, float]  # reported metrics over the newest report_every labelled outcomes
    total: dict[str, float]  # the same since the first version
    reference: float | None = None
    evidence: float | None = None  # log10 of the e-detector


class ShiftedFeature(Contract):
    feature: str
    score: float
    statistic: str
    direction: str
    reference: str
    recent: str


class WatchFigures(Contract):
    """The former champion beside the one that took over: mean of (loss of the new one - loss of the former)."""

    former: int
    outcomes: int
    mean_difference: float


class DriftDetected(Event):
    """An alarm on the model's loss: evidence, position, the estimated change, and what moved most.

    `detector`: which of river's detectors alarmed; None: Headrace's own. Of theirs `reference` is the mean loss before
    the change, and `evidence` the detector's own statistic, 0 where it has none: it guarantees nothing.
    """

    model: str
    drift_id: str
    version: int
    monitor: Literal["loss", "residual"]
    position: int
    last_record_id: str
    since: int
    reference: float
    mean_since: float
    evidence: float
    shifts: tuple[ShiftedFeature, ...] = ()
    watch: WatchFigures | None = None
    detector: str | None = None


class VerdictKind(StrEnum):
    """Better and Worse are final; Undecided and Invalid never promote."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"
    INVALID = "invalid"


class VerdictReached(Event):
    """What the paired judge says of a candidate, with the figures that led to it."""

    verdict_id: str
    model: str
    rollout_id: str
    step: int
    kind: VerdictKind
    position: int
    last_record_id: str
    last_time_ms: int
    champion: int
    candidate: int
    champion_sha256: str
    candidate_sha256: str
    outcomes: int
    invalid: int
    mean_difference: float | None
    e_value: float
    e_value_harm: float
