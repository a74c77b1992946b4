"""The step `decide`: one handler an event type. One state for the platform, for one log is the order of decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from services.registry import apply, revision
from services.registry.case import Case
from services.registry.commands import Command, carry_out, return_to_former
from services.registry.going_live import move, stop_rollout, withdraw
from services.registry.guardrails import broken, counted, judged
from services.registry.line import Line
from services.registry.replicas import Replicas
from services.registry.rollout import DeadlinePassed, Stopped, transition
from services.registry.versions import register, settle
from shared.contracts import control as c
from shared.contracts.contract import Contract
from shared.contracts.definitions import Clock
from shared.contracts.envelope import NEVER_MS, Event, Message
from shared.contracts.platform import Platform
from shared.contracts.topics import CONTROL
from shared.contracts.topology import clock_of
from shared.contracts.watch import former_did_better
from shared.runtime.step import Context, Handler, Output, Publish, Step

STATE_KEY = "platform"


class Decided(Contract):
    """All that the registry has decided, and which replicas it has heard. `applying`: definitions on their way."""

    lines: dict[str, Line] = Field(default_factory=dict[str, Line])
    replicas: Replicas = Replicas()
    applying: str | None = None


Outcome = tuple[Decided, Sequence[Output]]
CaseHandler = Callable[[Case, Any, Platform], None]


def decide() -> Step:
    """The registry's step."""
    events: dict[type[Event], Handler] = {
        c.ApplyDefinitions: on_apply,
        c.DefinitionsApplied: on_applied,
        c.Tick: on_tick,
        c.ReplicaSeen: on_replica_seen,
        c.ReplicaReady: _of_replica(on_ready),
        c.ReplicaFailed: _of_replica(on_failed),
        c.RunFinished: _of_model(on_run_finished),
        c.VerdictReached: _of_model(on_verdict),
        c.VerdictRevised: _of_model(on_verdict_revised),
        c.DriftDetected: _of_model(on_drift),
        c.ApproveVersion: on_command,
        c.PromoteVersion: on_command,
        c.RollBackModel: on_command,
    }
    return Step("decide", Decided, events, key=lambda message: STATE_KEY)


# --- definitions


def on_apply(state: Decided | None, message: Message, context: Context) -> Outcome:
    state, command = state or Decided(), _event(message, c.ApplyDefinitions)
    decided = apply.decide(command, context.platform, state.applying)
    if isinstance(decided, str):
        refused = c.DefinitionsRefused(request_id=command.request_id, reason=decided)
        return state, [Publish(CONTROL, STATE_KEY, refused, message.time_ms)]
    granted = state.model_copy(update={"applying": command.request_id})
    return granted, [Publish(CONTROL, STATE_KEY, decided, message.time_ms)]


def on_applied(state: Decided | None, message: Message, context: Context) -> Outcome:
    state = state or Decided()
    landed = state.applying == _event(message, c.DefinitionsApplied).request_id
    return (state.model_copy(update={"applying": None}) if landed else state), []


# --- time and replicas


def on_tick(state: Decided | None, message: Message, context: Context) -> Outcome:
    """Deadlines, ends of watches, and replicas that are no longer heard."""
    state, tick = state or Decided(), _event(message, c.Tick)
    if tick.clock is Clock.WALL:
        state = state.model_copy(update={"replicas": state.replicas.ticked(message.time_ms)})
    return _in_each_model(state, message, context, lambda case, event, platform: _pass_time(case))


def _pass_time(case: Case) -> None:
    line = case.line
    if line.rollout is not None:
        move(case, transition(line.rollout, case.definition.rollout, DeadlinePassed(case.now_ms)))
    if line.former is not None and line.watch_until_ms is not None and case.now_ms > line.watch_until_ms:
        case.say(c.WatchEnded(model=case.model, version=line.former))


def on_replica_seen(state: Decided | None, message: Message, context: Context) -> Outcome:
    state, seen = state or Decided(), _event(message, c.ReplicaSeen)
    state = state.model_copy(update={"replicas": state.replicas.hearing(seen.replica)})
    return _in_each_model(state, message, context, _guard)


def _guard(case: Case, seen: c.ReplicaSeen, platform: Platform) -> None:
    """Errors and latencies are facts of the wall clock: they decide nothing in a replay."""
    rollout, definitions = case.line.rollout, platform.definitions
    if rollout is None or clock_of(definitions, case.definition.scores) != "wall":
        return
    figures = seen.figures.get(f"{case.model}/{rollout.candidate}")
    if figures is None:
        return
    rollout = counted(rollout, figures)
    limit = broken(rollout, figures, case.definition.rollout.guardrails)
    case.change(rollout=judged(rollout))
    if limit is not None:
        stop_rollout(case, limit)


def on_ready(case: Case, ready: c.ReplicaReady, platform: Platform) -> None:
    line, number = case.line, ready.version
    if number in line.loaded and line.versions[number].sha256 == ready.artifact_sha256:
        replicas = tuple(dict.fromkeys((*line.ready.get(number, ()), ready.replica)))
        case.change(ready={**line.ready, number: replicas})


def on_failed(case: Case, failed: c.ReplicaFailed, platform: Platform) -> None:
    """What a replica cannot load goes no further; the champion that it cannot load is for a person to look at."""
    line = case.line
    reason = f"replica {failed.replica} cannot load version {failed.version}: {failed.reason}"
    going = line.going_live.version if line.going_live else None
    if line.rollout is not None and line.rollout.candidate == failed.version:
        move(case, transition(line.rollout, case.definition.rollout, Stopped(reason)))
    elif failed.version == going or (failed.version == line.waiting and failed.version in line.loaded):
        withdraw(case, failed.version, reason)


# --- versions, evidence, commands


def on_run_finished(case: Case, run: c.RunFinished, platform: Platform) -> None:
    """The first result of the run that was active counts; one that comes later is nobody's."""
    if platform.model(case.model).last_run != run:
        return
    if all(version.run_id != run.run_id for version in case.line.versions.values()):
        register(case, run)


def on_verdict(case: Case, verdict: c.VerdictReached, platform: Platform) -> None:
    """A verdict counts for the rollout, the versions and the artifacts that it names."""
    rollout, versions = case.line.rollout, case.line.versions
    if rollout is None or (verdict.rollout_id, verdict.champion, verdict.candidate) != (
        rollout.rollout_id, rollout.champion, rollout.candidate,
    ):  # fmt: skip
        return
    hashes = (versions[rollout.champion].sha256, versions[rollout.candidate].sha256)
    if (verdict.champion_sha256, verdict.candidate_sha256) != hashes:
        return
    if verdict.kind is c.VerdictKind.BETTER and _is_stale(case, verdict, platform):
        return
    move(case, transition(rollout, case.definition.rollout, verdict))


def _is_stale(case: Case, verdict: c.VerdictReached, platform: Platform) -> bool:
    """Whether the newest outcome judged fell due longer ago than a label of it would still be taken.

    A judge that lags so far behind speaks of another time; until it has caught up, the champion stays.
    """
    definition, sources = case.definition, platform.definitions.sources
    lateness_ms = max(
        sources[name].time.allowed_lateness for name in (definition.scores, definition.label.source) if name in sources
    )
    return case.now_ms - verdict.last_time_ms > definition.label.expires_after + lateness_ms


def on_verdict_revised(case: Case, revised: c.VerdictRevised, platform: Platform) -> None:
    """A promotion that later labels take back is taken back, where the definition says so."""
    revision.carry_out(case, revised)


def on_drift(case: Case, drift: c.DriftDetected, platform: Platform) -> None:
    """During the watch the former champion takes over again, if it did better."""
    if case.line.former is None or not former_did_better(drift, case.line.champion, case.line.former):
        return
    difference = drift.watch.mean_difference if drift.watch else 0.0
    outcomes = drift.watch.outcomes if drift.watch else 0
    return_to_former(
        case,
        f"alarm while on watch: version {case.line.former} did better by {difference:.4g} over {outcomes} outcomes",
        drift_id=drift.drift_id,
    )


def on_command(state: Decided | None, message: Message, context: Context) -> Outcome:
    """A command about a model that is not defined is refused here; any other by what the model's state allows."""
    command: Command = _event(message, (c.ApproveVersion, c.PromoteVersion, c.RollBackModel))
    models = context.platform.definitions.models
    if command.model not in models:
        known = f"known are {', '.join(sorted(models))}" if models else "none is defined yet: headrace apply"
        reason = f"no model is called {command.model!r}; {known}"
        refused = c.CommandRefused(request_id=command.request_id, model=command.model, reason=reason)
        return state or Decided(), [Publish(CONTROL, command.model, refused, message.time_ms)]
    return _of_model(lambda case, event, platform: carry_out(case, event))(state, message, context)


# --- from a message to a model's case and back


def _of_model(handle: CaseHandler) -> Handler:
    """A handler of events that name their model."""

    def handler(state: Decided | None, message: Message, context: Context) -> Outcome:
        model: str = getattr(message.event, "model", "")
        return _in_model(state or Decided(), model, message, context, handle)

    return handler


def _of_replica(handle: CaseHandler) -> Handler:
    """A handler of events in which a replica says something of a model: it is heard, too."""

    def handler(state: Decided | None, message: Message, context: Context) -> Outcome:
        state = state or Decided()
        replica: str = getattr(message.event, "replica", "")
        state = state.model_copy(update={"replicas": state.replicas.hearing(replica)})
        model: str = getattr(message.event, "model", "")
        return _in_model(state, model, message, context, handle)

    return handler


def _in_each_model(state: Decided, message: Message, context: Context, handle: CaseHandler) -> Outcome:
    outputs: list[Output] = []
    for model in sorted(state.lines):
        state, said = _in_model(state, model, message, context, handle)
        outputs += said
    return state, outputs


def _in_model(state: Decided, model: str, message: Message, context: Context, handle: CaseHandler) -> Outcome:
    platform = context.platform
    definition = platform.definitions.models.get(model)
    if definition is None:
        return state, []
    now_ms = platform.now_ms(model)
    case = Case(
        definition, message.time_ms if now_ms == NEVER_MS else now_ms, state.lines.get(model) or Line(), state.replicas
    )
    handle(case, message.event, platform)
    settle(case)
    line = case.line.forgetting_unloaded()
    outputs = [Publish(CONTROL, model, event, case.now_ms) for event in case.events]
    return state.model_copy(update={"lines": {**state.lines, model: line}}), outputs


def _event(message: Message, kind: Any) -> Any:
    if not isinstance(message.event, kind):
        raise TypeError(f"{type(message.event).__name__} is not what this handler takes")
    return message.event
