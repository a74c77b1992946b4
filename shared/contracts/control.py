"""Events and commands of `control.v1`: everything that is decided stands there, in the order of decision."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.contracts.contract import Contract
from shared.contracts.definitions import Clock, Published
from shared.contracts.envelope import Event


class Reference(Contract):
    """A large thing in the object store."""

    uri: str
    sha256: str
    bytes: int


class PlatformFounded(Event):
    """The first event of `control.v1`: the random id of this log, which every file beside it carries."""

    log_id: str


class Tick(Event):
    """Time, where no record brings it: `time_ms` of the envelope, of the wall clock or of the named sources.

    A tick of `clock: events` names the ends of the topics that it stands behind (offset after the last record, by
    topic and partition), and the control position that the head steps of its sources adopt.
    """

    clock: Clock
    sources: tuple[str, ...] = ()
    ends: dict[str, dict[int, int]] = {}
    adopt: int | None = None


# --- definitions


class ApplyDefinitions(Event):
    """A command: put in force what was validated against the definitions at `based_on`."""

    request_id: str
    based_on: int
    definitions: tuple[Published, ...]
    by: str


class DefinitionsApplied(Event):
    request_id: str
    definitions: tuple[Published, ...]
    by: str


class DefinitionsRefused(Event):
    request_id: str
    reason: str


# --- commands about models


class RetrainModel(Event):
    model: str
    by: str
    request_id: str


class ApproveVersion(Event):
    model: str
    version: int
    by: str
    request_id: str


class PromoteVersion(Event):
    """A person puts a version live: the gate and the approval are theirs."""

    model: str
    version: int
    by: str
    request_id: str


class RollBackModel(Event):
    """Ends the rollout in progress, or returns to the former champion if none is."""

    model: str
    by: str
    request_id: str


class CommandRefused(Event):
    request_id: str
    model: str
    reason: str


# --- training


class RunReason(StrEnum):
    BOOTSTRAP = "bootstrap"
    DRIFT = "drift"
    ROWS = "rows"
    COMMAND = "command"


class RunRequested(Event):
    """A fit is due. It reads the decided outcomes [0, position), whose last has `last_record_id`.

    `since` is the position of the estimated change, if a drift event says so. `champion` is the version to beat.
    """

    run_id: str
    model: str
    reason: RunReason
    position: int
    last_record_id: str | None = None
    since: int | None = None
    drift_id: str | None = None
    champion: int | None = None
    seed: int
    deadline_ms: int


class RunStarted(Event):
    run_id: str
    model: str
    worker: str


class RunProgressed(Event):
    run_id: str
    model: str
    fraction: Annotated[float, Field(ge=0, le=1)]
    doing: str


class GateFigures(Contract):
    """Losses on the newest matured labels, none of which was fitted on; `against` None: the constant predictor."""

    against: int | None
    rows: int
    candidate_loss: float
    reference_loss: float
    mean_difference: float
    standard_error: float


class HeldBackLoss(Contract):
    """Bounded loss on rows held back from the fit: its mean, the upper bound of that, and how many rows."""

    mean: float
    upper: float
    rows: int


class RunFinished(Event):
    """A fitted, exported and checked model: what made it, what it was fitted on, and how it did.

    What monitors compare with: `held_back`, and `reference`, the inputs' distribution over the same rows (numbers as
    evenly spaced quantiles, few of them). `classes`: the labels in the order of the outputs, if they are no 0 and 1.
    """

    run_id: str
    model: str
    artifact: Reference
    family: str
    parameters: dict[str, Any]
    metrics: dict[str, float]
    gate: GateFigures
    fitted_from: int
    fitted_to: int
    window: str
    windows: dict[str, float] = {}
    dataset_sha256: str
    seed: int
    duration_s: float
    parity_rows: int
    parity_largest: float
    held_back: HeldBackLoss | None = None
    reference: dict[str, Any] | None = None
    classes: tuple[str, ...] = ()


class RunFailed(Event):
    run_id: str
    model: str
    reason: str
    duration_s: float = 0.0


# --- registry


class Follows(StrEnum):
    """What comes next for a version: nothing, a person's approval, a rollout, or going live without one."""

    NOTHING = "nothing"
    APPROVAL = "approval"
    ROLLOUT = "rollout"
    PROMOTION = "promotion"


class VersionRegistered(Event):
    """A version, and whether it passed the gate. Numbers of a model count from 1."""

    model: str
    version: int
    run_id: str
    artifact: Reference
    gate_passed: bool
    gate: GateFigures
    reason: str
    follows: Follows = Follows.NOTHING
    held_back: HeldBackLoss | None = None
    reference: dict[str, Any] | None = None
    classes: tuple[str, ...] = ()


class VersionApproved(Event):
    model: str
    version: int
    by: str  # auto, every, or a person


class VersionWithdrawn(Event):
    """A version that was on its way goes no further: superseded, or a replica could not load it."""

    model: str
    version: int
    reason: str


class Phase(StrEnum):
    """Where a rollout stands. PREPARING: replicas load the candidate; it takes no traffic."""

    PREPARING = "preparing"
    SHADOW = "shadow"
    STEP = "step"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    EXPIRED = "expired"


class RolloutStarted(Event):
    rollout_id: str
    model: str
    candidate: int
    champion: int | None
    deadline_ms: int


class RolloutAdvanced(Event):
    """The candidate's exposure changed: shadow (share 0) or step k of K with its share of live traffic."""

    rollout_id: str
    model: str
    candidate: int
    phase: Phase
    step: int
    share: Annotated[float, Field(ge=0, le=1)]
    verdict_id: str | None = None


class VersionPromoted(Event):
    """A version answers from here on. `former` stays in shadow, on watch, until `watch_until_ms` if that is given."""

    model: str
    version: int
    former: int | None
    by: str  # first, rollout, every, or a person
    rollout_id: str | None = None
    verdict_id: str | None = None
    watch_until_ms: int | None = None


class RolloutEnded(Event):
    rollout_id: str
    model: str
    candidate: int
    phase: Phase
    reason: str
    verdict_id: str | None = None


class ModelRolledBack(Event):
    """The former champion answers again."""

    model: str
    version: int
    former: int
    reason: str
    by: str
    drift_id: str | None = None


class WatchEnded(Event):
    model: str
    version: int


# --- serving


class ReplicaReady(Event):
    """A replica has loaded, checked and warmed a version."""

    replica: str
    model: str
    version: int
    artifact_sha256: str


class ReplicaFailed(Event):
    """A replica could not load a version, and why."""

    replica: str
    model: str
    version: int
    reason: str


class RequestFigures(Contract):
    requests: int
    errors: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None


class ReplicaSeen(Event):
    """A replica's sign of life at a wall tick, with its requests since the last, by `model/version`."""

    replica: str
    figures: dict[str, RequestFigures] = {}


# --- monitoring


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
    """An alarm on the model's loss: evidence, position, the estimated change, and what moved most."""

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


class SegmentWritten(Event):
    """Rows [first, first + rows) of a task's own count, archived as immutable Parquet."""

    kind: Literal["records", "outcomes"]
    subject: str  # source or model
    partition: int
    number: int
    first: int
    rows: int
    segment: Reference
    from_ms: int
    to_ms: int
