"""Of outcomes: 19, which label decides, and what it says: worked out once more, from the log where both meet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from shared.contracts.definitions import Model
from shared.contracts.flow import (
    LabelFate,
    LabelObserved,
    LabelStatus,
    LabelUnused,
    OutcomeMatured,
    OutcomeRevised,
)
from shared.contracts.topics import JOINS, OUTCOMES
from tests.scenarios.evidence import Evidence
from tests.scenarios.set_aside import letters, replays
from tests.scenarios.topic_history import TopicHistory

Observed = tuple[int, LabelObserved]  # its event time, and what it says
Value = float | str | None


def the_newest_in_time_decides(evidence: Evidence) -> Iterator[str]:
    """19: the newest that was not late and is dated no later than the due time; of equally old ones the last to come.

    Not one that has expired before its record's prediction came, as of a record that was replayed long afterwards.
    Of records that a dead letter is about nothing is said: there, what came and what was taken are not the same.
    """
    history = evidence.history
    for name, model in history.definitions.models.items():
        observed, apart = _observed(history, name), _set_aside(history, name)
        unused = history.events(OUTCOMES.of(name).name, LabelUnused)
        expired = {event.label_id for _, event in unused if event.fate is LabelFate.WITHOUT_RECORD}
        for read, event in history.events(OUTCOMES.of(name).name, OutcomeMatured):
            record_id = event.prediction.record_id or ""
            if record_id in apart:
                continue
            there = [one for one in observed.get(record_id, []) if one[1].label_id not in expired]
            expected = _deciding(there, event.scored_ms, model)
            if event.label_id != expected:
                where = f"{read.tp.topic}/{read.tp.partition} offset {read.offset}"
                yield f"{where}: record {record_id} was decided by label {event.label_id}, and {expected} is the newest"


def what_decides_is_said(evidence: Evidence) -> Iterator[str]:
    """19: an outcome says what its label says; without one, what the definition has a missing one mean, once it is due.

    A revision says what another label says, and in place of what.
    """
    history = evidence.history
    for name, model in history.definitions.models.items():
        says = {label.label_id: label for found in _observed(history, name).values() for _, label in found}
        in_force: dict[str, Value] = {}
        for read, event in history.events(OUTCOMES.of(name).name, OutcomeMatured, OutcomeRevised):
            where = f"{read.tp.topic}/{read.tp.partition} offset {read.offset}"
            label = None if event.label_id is None else says.get(event.label_id)
            if isinstance(event, OutcomeMatured):
                record_id, found = event.prediction.record_id or "", (event.status, event.label)
                expected = _outcome(label, model)
                if read.message.time_ms < event.scored_ms + model.label.matures_after:
                    yield f"{where}: record {record_id} was decided at {read.message.time_ms}, before it fell due"
            else:
                record_id, found = event.record_id, (event.before, event.label)
                expected = in_force.get(record_id), _value(label)
            if found != expected:
                yield f"{where}: of record {record_id} by label {event.label_id} {found} is said, and it is {expected}"
            in_force[record_id] = event.label


def _outcome(label: LabelObserved | None, model: Model) -> tuple[LabelStatus, Value]:
    if label is None and model.label.absent is not None:
        return LabelStatus.ABSENT, model.label.absent
    value = _value(label)
    return LabelStatus.UNLABELLED if value is None else LabelStatus.LABELLED, value


def _value(label: LabelObserved | None) -> Value:
    said = None if label is None else label.value
    return float(said) if isinstance(said, bool | int) else said


def _deciding(observed: list[Observed], scored_ms: int, model: Model) -> str | None:
    due_ms = scored_ms + model.label.matures_after
    in_time = [(time_ms, place, label) for place, (time_ms, label) in enumerate(observed) if not label.late]
    in_time = [one for one in in_time if one[0] <= due_ms]
    return max(in_time, key=lambda one: one[:2])[2].label_id if in_time else None


def _observed(history: TopicHistory, model: str) -> dict[str, list[Observed]]:
    """By join id, in the order in which they came; of two with one id the first."""
    found: dict[str, dict[str, Observed]] = defaultdict(dict)
    for read, label in history.events(JOINS.of(model).name, LabelObserved):
        found[label.join_id].setdefault(label.label_id, (read.message.time_ms, label))
    return {join_id: list(labels.values()) for join_id, labels in found.items()}


def _set_aside(history: TopicHistory, model: str) -> set[str]:
    joins = f"monitoring/join/{JOINS.of(model).name}/"
    dead = {one.key for one in letters(history, "monitoring") if one.task.startswith(joins)}
    return dead | {read.message.key for read in replays(history, joins)}
