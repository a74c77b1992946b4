"""What a model's records and outcomes say: inputs that moved, quality, drift, verdicts, and the archive; one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from services.monitoring import (
    drift,
    estimate_watch,
    inputs_watch,
    missed_saving,
    quality,
    verdict_revisions,
    verdicts,
)
from services.monitoring.decided_order import MATURED, REVISED, SCORED, record_of
from services.monitoring.judge_state import JudgeState
from services.monitoring.monitored import monitored
from services.monitoring.outcome_losses import Judged, judged
from services.monitoring.version_facts import VersionFacts
from shared.contracts.control import DriftDetected
from shared.contracts.definitions import Model
from shared.contracts.envelope import Event, Message
from shared.contracts.flow import LabelStatus, OutcomeMatured, OutcomeRevised, OutcomeScored
from shared.contracts.platform import ModelState
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
        """It waits until the watermark has passed its time."""
        event, state = message.event, state or JudgeState()
        assert isinstance(event, OutcomeScored)
        name = state.waiting.name_for(SCORED, event.prediction.record_id or "")
        return state.put(name, estimate_watch.scored_row(event)), [SetTimer(name, message.time_ms)]

    def on_matured(self, state: JudgeState | None, message: Message, context: Context) -> Judgement:
        """It waits until the watermark has passed its time."""
        event, state = message.event, state or JudgeState()
        assert isinstance(event, OutcomeMatured)
        name = state.waiting.name_for(MATURED, event.prediction.record_id or "")
        return state.put(name, row_of(event, message.time_ms)), [SetTimer(name, message.time_ms)]

    def on_revised(self, state: JudgeState | None, message: Message, context: Context) -> Judgement:
        """It waits as an outcome does: its own time is that of what it tells. Where nothing answered, or nobody told
        what, it changes no figure."""
        event, state = message.event, state or JudgeState()
        assert isinstance(event, OutcomeRevised)
        if event.answers is None:
            return state, []
        # Of one record's revisions the order of the log is that in which they revise each other.
        name = state.waiting.name_for(REVISED, f"{event.record_id}\x1f{message.sequence or 0:016x}")
        return state.put(name, event.model_dump(mode="json")), [SetTimer(name, message.time_ms)]

    def take_scored(self, state: JudgeState, due: Due, context: Context) -> Judgement:
        """A record's inputs, in the order of event time."""
        row, state = state.take(due.name)
        platform, name = context.platform, context.task.subject
        model, decided = platform.definitions.models[name], platform.model(name)
        inputs, record = estimate_watch.inputs_of(row), record_of(due.name)
        state, moved = inputs_watch.inputs_seen(state, model, decided, record, inputs, self._facts)
        state = estimate_watch.take_scored(state, decided, row, due.due_ms, self._facts)
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
        state, found, paying = _saving(state, model, decided, outcome, found, self._facts)
        state = estimate_watch.take_matured(state, decided, outcome, self._facts)
        state, said = verdicts.judge_rollout(state, model, decided, outcome)
        report = None
        if quality.is_due(state, model):
            by_monitor = monitored(state, model, decided, self._facts)
            report = quality.measured(state, model, decided.champion, outcome, by_monitor)
            report = estimate_watch.with_estimate(report, state, decided, self._facts)
        events: list[Event | None] = [found, paying, *said, report]
        outputs += [Publish(CONTROL, name, event, due.due_ms) for event in events if event is not None]
        return state, outputs

    def take_revised(self, state: JudgeState, due: Due, context: Context) -> Judgement:
        """A label that came later than its outcome was decided: figures of the time stay, revised ones follow."""
        row, state = state.take(due.name)
        platform, name = context.platform, context.task.subject
        model, decided = platform.definitions.models[name], platform.model(name)
        before, after = (
            judged(model, platform, _answered(row, row[label]), state.position) for label in ("before", "label")
        )
        state = quality.corrected(state, model, before, after)
        state, said = verdict_revisions.revise(state, model, decided, before, after, row["label_id"])
        return state, [Publish(CONTROL, name, event, due.due_ms) for event in said]


def _saving(
    state: JudgeState, model: Model, decided: ModelState, outcome: Judged, found: DriftDetected | None,
    facts: VersionFacts,
) -> tuple[JudgeState, DriftDetected | None, DriftDetected | None]:  # fmt: skip
    """What was missed: with an alarm just found it goes into that one; said by itself once it reaches the cost, but for
    what such an alarm says."""
    watched, excess = state.champion, None
    if watched is not None and watched.standing is not None:
        usual = drift.normal(watched, facts.expected_loss(decided, watched.version))
        excess = missed_saving.excess_of(watched.standing, usual)
    missed, paying = missed_saving.watch(state.missed, model, decided, outcome, excess)
    if paying is not None:
        shifts = inputs_watch.explained(state.shift, paying.version, facts.reference(decided, paying.version))
        paying = paying.model_copy(update={"shifts": shifts})
    if found is not None:
        saving = missed_saving.saving_of(missed, model, excess)
        found = found.model_copy(update={"saving": saving})
        if saving is not None and saving.pays:
            paying = None
    return state._replace(missed=missed), found, paying


def _answered(row: Mapping[str, Any], label: Any) -> dict[str, Any]:
    """A revised outcome with this label, as a row of a decided one."""
    status = LabelStatus.UNLABELLED if label is None else LabelStatus.LABELLED
    return {**row["answers"], "record_id": row["record_id"], "label": label, "status": status.value}
