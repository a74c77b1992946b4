"""Events and commands of `control.v1`: everything that is decided stands there, in the order of decision.

This module names them all: those of training (`runs`) and of monitoring (`evidence`) as well. `topics` reads it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.contracts.contract import Contract
from shared.contracts.definitions import Clock, Published
from shared.contracts.envelope import Event
from shared.contracts.evidence import AlarmFigures as AlarmFigures
from shared.contracts.evidence import DriftDetected as DriftDetected
from shared.contracts.evidence import InputsMoved as InputsMoved
from shared.contracts.evidence import MissedSaving as MissedSaving
from shared.contracts.evidence import MovedInput as MovedInput
from shared.contracts.evidence import QualityMeasured as QualityMeasured
from shared.contracts.evidence import RolloutFigures as RolloutFigures
from shared.contracts.evidence import ShiftedFeature as ShiftedFeature
from shared.contracts.evidence import VerdictKind as VerdictKind
from shared.contracts.evidence import VerdictReached as VerdictReached
from shared.contracts.evidence import VerdictRevised as VerdictRevised
from shared.contracts.evidence import WatchFigures as WatchFigures
from shared.contracts.identity import derived_id
from shared.contracts.reference import Reference as Reference
from shared.contracts.runs import GateFigures as GateFigures
from shared.contracts.runs import HeldBackLoss as HeldBackLoss
from shared.contracts.runs import RunFailed as RunFailed
from shared.contracts.runs import RunFinished as RunFinished
from shared.contracts.runs import RunProgressed as RunProgressed
from shared.contracts.runs import RunReason as RunReason
from shared.contracts.runs import RunRequested as RunRequested
from shared.contracts.runs import RunStarted as RunStarted


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


class DeadLetterReplayed(Event):
    """What a task could not take stands in its input once more, at `topic`/`partition` `offset`.

    `event_id`: the new id of an event, or of a timer; None: a user's record, whose id lies inside it.
    """

    letter_id: str
    service: str
    task: str
    event_id: str | None
    topic: str
    partition: int
    offset: int
    by: str


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
    calibration: dict[str, Any] | None = None
    classes: tuple[str, ...] = ()
    expected_loss: dict[str, Any] | None = None


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
    revision_id: str | None = None


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


# --- releases


class ReleaseDeclared(Event):
    """Behind the first entry of its input that shows this, a task of `service` is run by code of this release.

    Until then by code of the release before. Whoever runs code that derives other events from the same input says so.
    """

    service: str
    release: int = Field(ge=2)

    def id_in(self, log_id: str) -> str:
        """The same from whoever declares it: the release begins once."""
        return derived_id(log_id, self.ce_type, self.service, self.release)


# --- archives


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


class TableCopied(Event):
    """The rows of one partition of `features.<view>`, as whoever has read its log up to `position` has them.

    `position`: the offset of the next entry. `sequences`: by task, the last that counted. What stands in the log before
    it determines all of it, whoever made the copy, and whenever. `topic_id`: which topic of that name it was (KIP-516);
    absent where the broker has no ids.
    """

    view: str
    partition: int
    position: int
    sequences: dict[str, int]
    rows: int
    table: Reference
    topic_id: str | None = None
