"""The state of the platform: a fold of `control.v1`. Its value at a position is what was decided by then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shared.contracts import control as c
from shared.contracts.definitions import Approval, Clock, Model, Policy
from shared.contracts.envelope import NEVER_MS, Message
from shared.contracts.topology import NO_DEFINITIONS, Definitions, clock_of

TABLE_COPIES = 2  # should the newest be damaged, there is one more


@dataclass(frozen=True, slots=True)
class VersionState:
    number: int
    run_id: str
    artifact: c.Reference
    gate_passed: bool
    gate: c.GateFigures
    registered_at: int  # control position of the event
    approved_at: int | None = None
    approved_by: str | None = None
    held_back: c.HeldBackLoss | None = None
    reference: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    classes: tuple[str, ...] = ()
    expected_loss: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RolloutState:
    rollout_id: str
    candidate: int
    champion: int | None
    phase: c.Phase
    step: int
    share: float
    deadline_ms: int
    started_at: int


@dataclass(frozen=True, slots=True)
class RunState:
    run_id: str
    reason: c.RunReason
    position: int
    requested_at: int
    request: c.RunRequested
    fraction: float = 0.0
    doing: str = "waiting for a worker"


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is decided of one model. `former` is on watch: it answers nothing, but is scored beside the champion.

    `pending`: versions on their way to a rollout, in one, or about to answer. `labelled`: decided outcomes with a
    label, as far as the quality was measured. `answered`: the drift event that the newest run on drift was for.
    `for_a_person`: the newest version that waits for approval, until it or another one that passed the gate goes
    further, another version answers than it was compared with, or the definition no longer asks a person.
    `quality`: the newest figures of the answers.
    """

    versions: Mapping[int, VersionState] = field(default_factory=dict[int, VersionState])
    champion: int | None = None
    promoted_at: int | None = None
    former: int | None = None
    watch_until_ms: int | None = None
    rollout: RolloutState | None = None
    run: RunState | None = None
    last_run: c.RunFinished | c.RunFailed | None = None
    position: int = 0
    drift: c.DriftDetected | None = None
    pending: tuple[int, ...] = ()
    for_a_person: int | None = None
    labelled: int = 0
    answered: str | None = None
    quality: c.QualityMeasured | None = None

    @property
    def in_play(self) -> tuple[int, ...]:
        """Versions whose outputs stand in each prediction: champion, candidate in shadow or on steps, former."""
        rollout = self.rollout
        candidate = rollout.candidate if rollout and rollout.phase in (c.Phase.SHADOW, c.Phase.STEP) else None
        return tuple(dict.fromkeys(v for v in (self.champion, candidate, self.former) if v is not None))

    @property
    def to_load(self) -> tuple[int, ...]:
        """What replicas keep ready: what is in play or being prepared, and what was approved and is on its way."""
        approved = (n for n in self.pending if n in self.versions and self.versions[n].approved_at is not None)
        candidate = (self.rollout.candidate,) if self.rollout else ()
        return tuple(dict.fromkeys((*self.in_play, *candidate, *approved)))


@dataclass(frozen=True, slots=True)
class TableCopy:
    """A copy of one partition of a table. See TableCopied; `copied_ms`: when, by the wall clock of who made it."""

    position: int
    sequences: Mapping[str, int]
    rows: int
    table: c.Reference
    copied_ms: int
    topic_id: str | None = None


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything that is decided, at one control position (the count of log entries that went into it)."""

    position: int = 0
    log_id: str | None = None
    definitions: Definitions = NO_DEFINITIONS
    definitions_at: int = 0
    sources_at: Mapping[str, int] = field(default_factory=dict[str, int])  # since when a source is defined
    models: Mapping[str, ModelState] = field(default_factory=dict[str, ModelState])
    ticks: Mapping[str, int] = field(default_factory=dict[str, int])  # newest tick, by clock: `wall` or a source
    last_ticks: Mapping[str, tuple[int, c.Tick]] = field(default_factory=dict[str, tuple[int, c.Tick]])
    releases: Mapping[str, int] = field(
        default_factory=dict[str, int]
    )  # of the code, by service, once one was declared
    segments: Mapping[tuple[str, str], tuple[c.SegmentWritten, ...]] = field(  # by kind and subject, as they came
        default_factory=dict[tuple[str, str], tuple[c.SegmentWritten, ...]]
    )
    tables: Mapping[tuple[str, int], tuple[TableCopy, ...]] = (
        field(  # by view and partition: the furthest two, in order
            default_factory=dict[tuple[str, int], tuple[TableCopy, ...]]
        )
    )

    def model(self, name: str) -> ModelState:
        return self.models.get(name) or ModelState()

    def release(self, service: str) -> int:
        """Which release of a service's code derives its events."""
        return self.releases.get(service, 1)

    def now_ms(self, model: str) -> int:
        """The newest tick of the clock of a model's scored source; NEVER_MS before the first."""
        definition = self.definitions.models.get(model)
        return (
            NEVER_MS if definition is None else self.ticks.get(clock_of(self.definitions, definition.scores), NEVER_MS)
        )

    def skipped(self) -> Platform:
        """After an entry that readers do not accept: nothing but the position moves."""
        return replace(self, position=self.position + 1)

    def after(self, message: Message) -> Platform:
        """The state with one more accepted event."""
        moved = replace(self, position=self.position + 1)
        match message.event:
            case c.PlatformFounded(log_id=log_id) if self.log_id is None:
                return replace(moved, log_id=log_id)
            case c.Tick() as tick:
                return moved._ticked(message.time_ms, tick)
            case c.DefinitionsApplied(definitions=applied):
                definitions = self.definitions.with_applied(applied)
                models = {name: _defined(model, self.model(name)) for name, model in definitions.models.items()}
                since = {name: self.sources_at.get(name, moved.position) for name in definitions.sources}
                return replace(
                    moved, definitions=definitions, definitions_at=moved.position, sources_at=since, models=models
                )
            case c.SegmentWritten() as segment:
                return moved._archived(segment)
            case c.ReleaseDeclared(service=service, release=release):
                return replace(moved, releases={**self.releases, service: max(release, self.release(service))})
            case c.TableCopied() as copied:
                return moved._copied(copied, message.time_ms)
            case event:
                name = getattr(event, "model", None)
                if not isinstance(name, str) or name not in self.models:
                    return moved
                state = _model_after(self.models[name], event, moved.position)
                return moved if state is self.models[name] else replace(moved, models={**self.models, name: state})

    def _archived(self, segment: c.SegmentWritten) -> Platform:
        subject = (segment.kind, segment.subject)
        written = self.segments.get(subject, ())
        if any((s.partition, s.number) == (segment.partition, segment.number) for s in written):
            return self  # the first one of a span counts
        return replace(self, segments={**self.segments, subject: (*written, segment)})

    def _copied(self, copied: c.TableCopied, time_ms: int) -> Platform:
        log, known = (copied.view, copied.partition), self.tables.get((copied.view, copied.partition), ())
        if any(copy.position == copied.position for copy in known):
            return self  # the first one of a position counts
        copy = TableCopy(copied.position, copied.sequences, copied.rows, copied.table, time_ms, copied.topic_id)
        # Two owners may copy at once: the furthest count, not those that came last.
        kept = sorted((*known, copy), key=lambda one: one.position)[-TABLE_COPIES:]
        return replace(self, tables={**self.tables, log: tuple(kept)})

    def _ticked(self, time_ms: int, tick: c.Tick) -> Platform:
        clocks = ("wall",) if tick.clock is Clock.WALL else tick.sources
        fresh = {clock: time_ms for clock in clocks if time_ms > self.ticks.get(clock, NEVER_MS)}
        if not fresh:
            return self
        return replace(
            self,
            ticks={**self.ticks, **fresh},
            last_ticks={**self.last_ticks, **dict.fromkeys(fresh, (self.position, tick))},
        )


def _defined(definition: Model, state: ModelState) -> ModelState:
    asks = definition.rollout.approval is Approval.MANUAL and definition.retrain.policy is not Policy.EVERY
    return state if asks or state.for_a_person is None else replace(state, for_a_person=None)


def _model_after(state: ModelState, event: object, position: int) -> ModelState:
    match event:
        case c.RunRequested() as request:
            run = RunState(request.run_id, request.reason, request.position, position, request)
            return replace(state, run=run, answered=request.drift_id or state.answered)
        case c.RunProgressed(run_id=run_id, fraction=fraction, doing=doing) if state.run and state.run.run_id == run_id:
            return replace(state, run=replace(state.run, fraction=fraction, doing=doing))
        case (c.RunFinished() | c.RunFailed()) as ended if state.run and state.run.run_id == ended.run_id:
            return replace(state, run=None, last_run=ended)
        case c.QualityMeasured(position=decided, labelled=labelled) as measured:
            newest = measured if state.quality is None or decided >= state.quality.position else state.quality
            position, known = max(state.position, decided), max(state.labelled, labelled)
            return replace(state, position=position, labelled=known, quality=newest)
        case c.DriftDetected() as drift:
            return replace(state, drift=drift, position=max(state.position, drift.position))
        case _:
            return _versions_after(state, event, position)


def _versions_after(state: ModelState, event: object, position: int) -> ModelState:
    match event:
        case c.VersionRegistered() as v:
            version = VersionState(
                v.version, v.run_id, v.artifact, v.gate_passed, v.gate, position,
                held_back=v.held_back, reference=v.reference, calibration=v.calibration, classes=v.classes,
                expected_loss=v.expected_loss,
            )  # fmt: skip
            on = v.follows in (c.Follows.ROLLOUT, c.Follows.PROMOTION)
            pending = (*state.pending, v.version) if on else state.pending
            waits = v.version if v.follows is c.Follows.APPROVAL else None if on else state.for_a_person
            versions = {**state.versions, v.version: version}
            return replace(state, versions=versions, pending=pending, for_a_person=waits)
        case c.VersionApproved(version=number, by=by) if number in state.versions:
            approved = replace(state.versions[number], approved_at=position, approved_by=by)
            pending = state.pending if number == state.champion else tuple(dict.fromkeys((*state.pending, number)))
            waits = None if number == state.for_a_person else state.for_a_person
            return replace(state, versions={**state.versions, number: approved}, pending=pending, for_a_person=waits)
        case c.VersionWithdrawn(version=number):
            return replace(state, pending=tuple(n for n in state.pending if n != number))
        case c.RolloutStarted() as r:
            started = RolloutState(
                r.rollout_id, r.candidate, r.champion, c.Phase.PREPARING, 0, 0.0, r.deadline_ms, position
            )
            return replace(state, rollout=started)
        case c.RolloutAdvanced() as r if state.rollout and state.rollout.rollout_id == r.rollout_id:
            return replace(state, rollout=replace(state.rollout, phase=r.phase, step=r.step, share=r.share))
        case c.RolloutEnded() as ended if state.rollout and state.rollout.rollout_id == ended.rollout_id:
            return replace(state, rollout=None, pending=tuple(n for n in state.pending if n != ended.candidate))
        case c.VersionPromoted() as v:
            former = v.former if v.watch_until_ms is not None else None
            return replace(
                state,
                champion=v.version,
                promoted_at=position,
                former=former,
                watch_until_ms=v.watch_until_ms,
                pending=tuple(n for n in state.pending if n != v.version),
                for_a_person=None,
            )
        case c.ModelRolledBack() as r:
            return replace(
                state,
                champion=r.version,
                promoted_at=position,
                former=None,
                watch_until_ms=None,
                pending=tuple(n for n in state.pending if n != r.version),
                for_a_person=None,
            )
        case c.WatchEnded():
            return replace(state, former=None, watch_until_ms=None)
        case _:
            return state
