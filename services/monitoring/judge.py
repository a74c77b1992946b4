"""What a model's outcomes say: quality, drift, verdicts, and the archive; one outcome after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from services.monitoring import drift, estimate_watch, missed_saving, quality, verdict_revisions, verdicts
from services.monitoring.decided_order import MATURED, REVISED, SCORED
from services.monitoring.feature_reference import FeatureReference, read_reference
from services.monitoring.judge_state import JudgeState
from services.monitoring.outcome_losses import Judged, judged
from shared.contracts.calibration import Calibration
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
    """The handlers of the step. What it remembers besides the state is only what a version's manifest says, parsed."""

    def __init__(self) -> None:
        self._references: dict[str, FeatureReference | None] = {}
        self._tables: dict[str, Calibration | None] = {}

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
        decided = context.platform.model(context.task.subject)
        inputs = estimate_watch.inputs_of(row)
        state = drift.inputs_seen(state, decided, inputs, lambda version: self._reference(decided, version))
        return estimate_watch.take_scored(state, decided, row, due.due_ms, lambda v: self._table(decided, v)), []

    def take_matured(self, state: JudgeState, due: Due, context: Context) -> Judgement:
        """An outcome gets its place in the order of decision, and every decision sees it."""
        row, state = state.take(due.name)
        platform, name = context.platform, context.task.subject
        model, decided = platform.definitions.models[name], platform.model(name)
        outcome = judged(model, platform, row, state.position + 1)
        outputs: list[Output] = [Append(ARCHIVE, orjson.dumps({"ordinal": outcome.ordinal, **row}))]
        state = quality.counted(state, model, outcome)
        state, found = drift.watch_champion(
            state, model, decided, outcome, lambda version: self._reference(decided, version)
        )
        state, found, paying = _saving(state, model, decided, outcome, found)
        state = estimate_watch.take_matured(state, decided, outcome, lambda v: self._table(decided, v))
        state, said = verdicts.judge_rollout(state, model, decided, outcome)
        report = quality.measured(state, model, decided.champion, outcome)
        report = estimate_watch.with_estimate(report, state, decided, lambda v: self._table(decided, v))
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

    def _reference(self, decided: ModelState, version: int) -> FeatureReference | None:
        known = decided.versions.get(version)
        if known is None or known.reference is None:
            return None
        sha256 = known.artifact.sha256
        if sha256 not in self._references:
            self._references[sha256] = _read(known.reference)
        return self._references[sha256]

    def _table(self, decided: ModelState, version: int) -> Calibration | None:
        known = decided.versions.get(version)
        if known is None:
            return None
        if known.artifact.sha256 not in self._tables:
            self._tables[known.artifact.sha256] = estimate_watch.read_table(known)
        return self._tables[known.artifact.sha256]


def _saving(
    state: JudgeState, model: Model, decided: ModelState, outcome: Judged, found: DriftDetected | None
) -> tuple[JudgeState, DriftDetected | None, DriftDetected | None]:
    """What was missed: with an alarm just found it goes into that one; said by itself once it reaches the cost."""
    watched = state.champion
    monitor = watched.watch.monitor if watched else None
    excess = missed_saving.excess_of(watched.standing if watched else None, monitor.null_mean if monitor else None)
    missed, paying = missed_saving.watch(state.missed, model, decided, outcome, excess)
    if found is not None:
        found = found.model_copy(update={"saving": missed_saving.saving_of(missed, model, excess)})
    return state._replace(missed=missed), found, paying


def _answered(row: Mapping[str, Any], label: Any) -> dict[str, Any]:
    """A revised outcome with this label, as a row of a decided one."""
    status = LabelStatus.UNLABELLED if label is None else LabelStatus.LABELLED
    return {**row["answers"], "record_id": row["record_id"], "label": label, "status": status.value}


def _read(reference: Mapping[str, Any]) -> FeatureReference | None:
    try:
        return read_reference(reference)
    except (ValueError, KeyError, TypeError):
        return None  # an alarm without an explanation is worth more than none
