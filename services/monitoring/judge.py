"""What a model's records and outcomes say: inputs that moved, quality, drift, verdicts, and the archive; one by one."""

from __future__ import annotations

import orjson

from services.monitoring import drift, inputs_watch, quality, verdicts
from services.monitoring.decided_order import MATURED, SCORED, record_of
from services.monitoring.judge_state import JudgeState
from services.monitoring.monitored import monitored
from services.monitoring.outcome_losses import judged
from services.monitoring.version_facts import VersionFacts
from shared.contracts.envelope import Event, Message
from shared.contracts.flow import OutcomeMatured, OutcomeScored
from shared.contracts.topics import CONTROL
from shared.runtime.outcome_segments import row_of
from shared.runtime.step import Append, Context, Due, Output, Publish, SetTimer

ARCHIVE = "archive"
Judgement = tuple[JudgeState, list[Output]]


class Judge:
    """The handlers of the step. What it remembers besides the state is only what a version's run says, parsed."""

    def __init__(self) -> None:
        self._facts = VersionFacts()

    def on_scored(self, state: JudgeState | None, message: Message, context: Context) -> Judgement:
        """Its inputs wait until the watermark has passed its time."""
        event, state = message.event, state or JudgeState()
        assert isinstance(event, OutcomeScored)
        name = state.waiting.name_for(SCORED, event.prediction.record_id or "")
        return state.put(name, event.prediction.inputs), [SetTimer(name, message.time_ms)]

    def on_matured(self, state: JudgeState | None, message: Message, context: Context) -> Judgement:
        """It waits until the watermark has passed its time."""
        event, state = message.event, state or JudgeState()
        assert isinstance(event, OutcomeMatured)
        name = state.waiting.name_for(MATURED, event.prediction.record_id or "")
        return state.put(name, row_of(event, message.time_ms)), [SetTimer(name, message.time_ms)]

    def take_scored(self, state: JudgeState, due: Due, context: Context) -> Judgement:
        """A record's inputs, in the order of event time."""
        inputs, state = state.take(due.name)
        platform, name = context.platform, context.task.subject
        model, decided = platform.definitions.models[name], platform.model(name)
        state, moved = inputs_watch.inputs_seen(state, model, decided, record_of(due.name), inputs, self._facts)
        return state, [Publish(CONTROL, name, event, due.due_ms) for event in moved]

    def take_matured(self, state: JudgeState, due: Due, context: Context) -> Judgement:
        """An outcome gets its place in the order of decision, and every decision sees it."""
        row, state = state.take(due.name)
        platform, name = context.platform, context.task.subject
        model, decided = platform.definitions.models[name], platform.model(name)
        outcome = judged(model, platform, row, state.position + 1)
        outputs: list[Output] = [Append(ARCHIVE, orjson.dumps({"ordinal": outcome.ordinal, **row}))]
        state = quality.counted(state, model, outcome)
        state, found = drift.watch_champion(state, model, decided, outcome, self._facts)
        state, said = verdicts.judge_rollout(state, model, decided, outcome)
        report = None
        if quality.is_due(state, model):
            by_monitor = monitored(state, model, decided, self._facts)
            report = quality.measured(state, model, decided.champion, outcome, by_monitor)
        events: list[Event | None] = [found, *said, report]
        outputs += [Publish(CONTROL, name, event, due.due_ms) for event in events if event is not None]
        return state, outputs
