"""The step `schedule`: at most one run a model at a time; what comes meanwhile is kept, and decided when that ends.

While a version waits for a person's approval, no alarm leads to a run: what it calls for has been made, and lies there.
A command does, and its version takes that one's place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from services.training.policy import FEWEST_ROWS, Due, Known, changed_at, day_of, due, pays
from shared.contracts import control as c
from shared.contracts.contract import Contract
from shared.contracts.definitions import DAY_MS, Clock, Model, Policy
from shared.contracts.envelope import NEVER_MS, Event, Message
from shared.contracts.identity import derived_id
from shared.contracts.platform import ModelState
from shared.contracts.topics import CONTROL
from shared.contracts.watch import former_did_better
from shared.runtime.step import Context, Handler, Output, Publish, Step

STATE_KEY = "platform"
# On the model's clock; a worker that dies takes its run up again long before. A replay's clock may run at any pace, so
# there a day can pass while one fit is at work.
RUN_DEADLINE_MS = {Clock.WALL: DAY_MS, Clock.EVENTS: 365 * DAY_MS}
REMEMBERED = 64  # drift events and commands that led to a run


class Active(Contract):
    """The run in progress, from its request until its version is registered. `failing`: its deadline has passed."""

    run_id: str
    deadline_ms: int
    finished: bool = False
    failing: bool = False


class Schedule(Contract):
    """What is known of one model. `alarm` and `command`: what waits to be decided. `attempted`: labelled rows at the
    last request while nothing answered."""

    labelled: int = 0
    position: int = 0
    last_record_id: str | None = None
    active: Active | None = None
    runs: int = 0
    last_position: int | None = None
    last_end_ms: int = NEVER_MS
    attempted: int | None = None
    day: int = 0
    runs_today: int = 0
    alarm: c.DriftDetected | None = None
    answered: tuple[str, ...] = ()
    command: c.RetrainModel | None = None


class Schedules(Contract):
    models: dict[str, Schedule] = Field(default_factory=dict[str, Schedule])


@dataclass(slots=True)
class Case:
    """One model while one event is handled."""

    definition: Model
    clock: Clock
    now_ms: int
    state: ModelState
    plan: Schedule
    at_quality: bool = False
    events: list[Event] = field(default_factory=list[Event])

    def change(self, **changes: object) -> None:
        self.plan = self.plan.model_copy(update=changes)


Outcome = tuple[Schedules, Sequence[Output]]
CaseHandler = Callable[[Case, Any], None]


def schedule() -> Step:
    """The training service's step on `control.v1`."""
    events: dict[type[Event], Handler] = {
        c.QualityMeasured: _of_model(on_quality),
        c.DriftDetected: _of_model(on_drift),
        c.RetrainModel: on_retrain,
        c.RunFinished: _of_model(on_run_ended),
        c.RunFailed: _of_model(on_run_ended),
        c.VersionRegistered: _of_model(on_registered),
        c.VersionPromoted: _of_model(_nothing_but_decide),
        c.VersionWithdrawn: _of_model(_nothing_but_decide),
        c.RolloutEnded: _of_model(_nothing_but_decide),
        c.ModelRolledBack: _of_model(_nothing_but_decide),
        c.WatchEnded: _of_model(_nothing_but_decide),
        c.DefinitionsApplied: _of_every_model(_nothing_but_decide),
        c.Tick: _of_every_model(on_tick),
    }
    return Step("schedule", Schedules, events, key=lambda message: STATE_KEY)


# --- what is known


def on_quality(case: Case, quality: c.QualityMeasured) -> None:
    case.change(labelled=max(case.plan.labelled, quality.labelled))
    case.at_quality = True
    _decided_up_to(case, quality.position, quality.last_record_id)


def on_drift(case: Case, drift: c.DriftDetected) -> None:
    """An alarm is kept, whatever is in progress: of several that pays, else the newest."""
    _decided_up_to(case, drift.position, drift.last_record_id)
    kept = case.plan.alarm
    if case.definition.retrain.policy is not Policy.EVIDENCE or drift.drift_id in case.plan.answered:
        return
    if kept is None or kept.version != drift.version or pays(drift) or not pays(kept):
        case.change(alarm=drift)


def _decided_up_to(case: Case, position: int, last_record_id: str) -> None:
    if position >= case.plan.position:
        case.change(position=position, last_record_id=last_record_id)


def on_run_ended(case: Case, ended: c.RunFinished | c.RunFailed) -> None:
    """The first end of the active run counts; a finished one stays active until the registry has said what follows."""
    active = case.plan.active
    if active is None or active.finished or active.run_id != ended.run_id or case.state.last_run != ended:
        return
    finished = isinstance(ended, c.RunFinished)
    case.change(active=active.model_copy(update={"finished": True}) if finished else None, last_end_ms=case.now_ms)


def on_registered(case: Case, version: c.VersionRegistered) -> None:
    active = case.plan.active
    if active is not None and active.run_id == version.run_id:
        case.change(active=None)


def on_tick(case: Case, tick: c.Tick) -> None:
    """A run that has not ended by its deadline has failed: its worker is gone, or hangs."""
    active = case.plan.active
    if active is None or case.now_ms < active.deadline_ms or active.failing:
        return
    if active.finished:
        case.change(active=None)
        return
    case.events.append(
        c.RunFailed(run_id=active.run_id, model=case.definition.name, reason="it did not end by its deadline")
    )
    case.change(active=active.model_copy(update={"failing": True}))


def on_retrain(state: Schedules | None, message: Message, context: Context) -> Outcome:
    """A command is carried out as soon as nothing is in progress, or refused with what helps."""
    command: c.RetrainModel = message.event  # pyright: ignore[reportAssignmentType]
    models = context.platform.definitions.models
    if command.model in models:
        return _of_model(_on_retrain)(state, message, context)
    known = f"known are {', '.join(sorted(models))}" if models else "none is defined yet: headrace apply"
    reason = f"no model is called {command.model!r}; {known}"
    refused = c.CommandRefused(request_id=command.request_id, model=command.model, reason=reason)
    return state or Schedules(), [Publish(CONTROL, command.model, refused, message.time_ms)]


def _on_retrain(case: Case, command: c.RetrainModel) -> None:
    name, plan = case.definition.name, case.plan
    if plan.labelled < FEWEST_ROWS:
        reason = (
            f"{plan.labelled} labelled rows of {name} are known, and a fit needs {FEWEST_ROWS}: "
            f"publish labels, and look at headrace status"
        )
    elif command.request_id in plan.answered:
        return
    elif plan.command is not None:
        reason = f"a run of {name} by {plan.command.by} waits already for what is in progress: headrace runs"
    else:
        case.change(command=command)
        return
    case.events.append(c.CommandRefused(request_id=command.request_id, model=name, reason=reason))


def _nothing_but_decide(case: Case, event: Event) -> None:
    """What is kept may be due by now."""


# --- what follows


def _decide(case: Case) -> None:
    _drop_stale_alarm(case)
    if _is_busy(case):
        return
    plan, day = case.plan, day_of(case.now_ms)
    known = Known(
        now_ms=case.now_ms,
        champion=case.state.champion,
        labelled=plan.labelled,
        position=plan.position,
        last_position=plan.last_position,
        last_end_ms=plan.last_end_ms,
        attempted=plan.attempted,
        runs_today=plan.runs_today if day == plan.day else 0,
        at_quality=case.at_quality,
        alarm=None if _is_for_the_watch(case) or case.state.for_a_person is not None else plan.alarm,
        command=plan.command.request_id if plan.command else None,
    )
    found = due(case.definition, known)
    if found is not None:
        _request(case, found, day, known.runs_today)


def _drop_stale_alarm(case: Case) -> None:
    """An alarm on a version that no longer answers is answered: by the promotion, or by the watch's roll-back."""
    alarm, retrain = case.plan.alarm, case.definition.retrain
    if alarm is not None and (alarm.version != case.state.champion or retrain.policy is not Policy.EVIDENCE):
        case.change(alarm=None)


def _is_for_the_watch(case: Case) -> bool:
    """The registry answers this alarm with the former champion; should the watch end first, it is decided then."""
    alarm, state = case.plan.alarm, case.state
    return alarm is not None and state.former is not None and former_did_better(alarm, state.champion, state.former)


def _is_busy(case: Case) -> bool:
    state = case.state
    return case.plan.active is not None or state.run is not None or state.rollout is not None or bool(state.pending)


def _request(case: Case, found: Due, day: int, runs_today: int) -> None:
    plan, definition = case.plan, case.definition
    run_id = derived_id(definition.name, "run", found.cause)
    deadline_ms = case.now_ms + RUN_DEADLINE_MS[case.clock]
    case.events.append(
        c.RunRequested(
            run_id=run_id,
            model=definition.name,
            reason=found.reason,
            position=plan.position,
            last_record_id=plan.last_record_id,
            since=found.drift and changed_at(found.drift),
            drift_id=found.drift.drift_id if found.drift else None,
            champion=case.state.champion,
            seed=_seed(definition.training.seed, plan.runs),
            deadline_ms=deadline_ms,
        )
    )
    case.change(
        active=Active(run_id=run_id, deadline_ms=deadline_ms),
        runs=plan.runs + 1,
        last_position=plan.position,
        attempted=plan.labelled if case.state.champion is None else None,
        day=day,
        runs_today=runs_today + 1,
    )
    if plan.command is not None and found.reason is c.RunReason.COMMAND:
        case.change(command=None, answered=(*plan.answered, plan.command.request_id)[-REMEMBERED:])
    if found.drift is not None:
        case.change(alarm=None, answered=(*plan.answered, found.drift.drift_id)[-REMEMBERED:])


def _seed(seed: int, ordinal: int) -> int:
    """In [0, 2^31), from the definition's seed and the run's ordinal."""
    return int(derived_id(str(seed), "seed", "", ordinal)[:8], 16) & 0x7FFF_FFFF


# --- from a message to a model's case and back


def _of_model(handle: CaseHandler) -> Handler:
    def handler(state: Schedules | None, message: Message, context: Context) -> Outcome:
        model: str = getattr(message.event, "model", "")
        return _in_model(state or Schedules(), model, message, context, handle)

    return handler


def _of_every_model(handle: CaseHandler) -> Handler:
    def handler(state: Schedules | None, message: Message, context: Context) -> Outcome:
        state, outputs = state or Schedules(), list[Output]()
        for model in sorted(state.models):
            state, said = _in_model(state, model, message, context, handle)
            outputs += said
        return state, outputs

    return handler


def _in_model(state: Schedules, model: str, message: Message, context: Context, handle: CaseHandler) -> Outcome:
    platform = context.platform
    definition = platform.definitions.models.get(model)
    if definition is None:
        return state, []
    now_ms = platform.now_ms(model)
    case = Case(
        definition,
        platform.definitions.sources[definition.scores].time.clock,
        message.time_ms if now_ms == NEVER_MS else now_ms,
        platform.model(model),
        state.models.get(model) or Schedule(),
    )
    handle(case, message.event)
    _decide(case)
    outputs = [Publish(CONTROL, model, event, case.now_ms) for event in case.events]
    return Schedules(models={**state.models, model: case.plan}), outputs
