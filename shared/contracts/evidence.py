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
    evidence: float | None = None  # log10 of the loss monitor's e-detector
    monitored: dict[str, str] = {}  # by monitor (loss, residual, inputs): against what, or why nothing is monitored


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


class AlarmFigures(Contract):
    """What it takes to compute an alarm of the loss monitor again: `services/monitoring/loss_monitor.py` says how.

    The monitor began with nothing at the decided outcome with ordinal `first`, of which `count` were valid, taken
    `block` at a time. What it bets on lies in [0, 1]: the loss, or (residual + cap) / (1 + cap). In that unit are
    `reference_upper`, `tolerance`, the two means, and `null_mean`, which they are tested against. `change` is the
    ordinal that it dates the change to, `since_change_mean` is the mean of `count_since_change` from there on.
    """

    threshold: float
    reference_upper: float
    tolerance: float
    null_mean: float
    leading_bet: float
    first: int
    change: int
    block: int
    count: int
    count_since_change: int
    run_mean: float
    since_change_mean: float
    cap: float | None = None


class DriftDetected(Event):
    """An alarm on the model's loss: evidence, position, the estimated change, and what moved most.

    `monitor`: which one was first. `reference` and `mean_since` are losses, or, of the residual, how much more was lost
    than expected. `since` is where the change began: of a change that was told before, as it was told first.
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
    figures: AlarmFigures | None = None


class MovedInput(Contract):
    """An input in an alarm: its share of the evidence, and the statistic of it that says most.

    `mean`: of that statistic over `count` records of the run; its `reference_mean`, and the bound above that which it
    is tested against. `reference` and `recent`: of the input itself, for a person, as far as it is known.
    """

    feature: str
    share: float
    statistic: str
    null_mean: float
    reference_mean: float
    mean: float
    count: int
    reference: str | None = None
    recent: str | None = None


class InputsMoved(Event):
    """A model's inputs are no longer what they were when the version was fitted. It advises: nothing follows.

    Of the scored records, in the order of decision, those with ordinals [`first`, `position`) are the evidence;
    `last_record_id` is the last of them. An input that was named among `features` with a fair share of the evidence is
    `told`, and no longer monitored until another version answers. `unmonitored`: inputs that are not, and why.
    """

    model: str
    moved_id: str
    version: int
    first: int
    position: int
    last_record_id: str
    evidence: float
    threshold: float
    features: tuple[MovedInput, ...]
    told: tuple[str, ...] = ()
    unmonitored: dict[str, str] = {}


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
