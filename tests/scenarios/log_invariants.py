"""Of logs: 7 (what a topic alone shows of it) and 20."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from shared.contracts.envelope import Mark, Message
from shared.contracts.flow import (
    InputsComputed,
    LabelObserved,
    OutcomeMatured,
    OutcomeScored,
    PredictionMade,
    RecordAccepted,
    RecordRekeyed,
)
from shared.contracts.topics import (
    CONTROL,
    ENTITY,
    FEATURES,
    INTAKE,
    JOINS,
    OUTCOMES,
    PREDICTIONS,
    RECORDS,
    SCORING,
)
from shared.runtime.log import TopicPartition
from tests.scenarios.evidence import Evidence
from tests.scenarios.set_aside import replays
from tests.scenarios.topic_history import LETTERS, TopicHistory
from tests.scenarios.watermarks import falls, followed


def promises_are_kept(evidence: Evidence) -> Iterator[str]:
    """7: no task's watermark or control position goes back, and no event lies behind what its task has promised.

    What a head step has seen of control.v1 comes from outside: another attempt may have seen less.
    """
    history = evidence.history
    late = _late_records(history)
    heads = {task.id for task in history.definitions.tasks if task.head}
    for tp in _written_by_tasks(history):
        yield from falls(history, tp)
        control: dict[str, int] = {}
        for record, entry, shown in followed(history, tp):
            if not isinstance(entry, Message) or entry.sequence is None:
                continue
            task = entry.source
            if entry.sequence != shown.last.get(task, 0) + 1:
                continue
            where = f"{tp.topic}/{tp.partition} offset {record.offset}"
            if entry.control < control.get(task, 0) and task not in heads:
                yield f"{where}: {task} goes back to control {entry.control}"
            control[task] = entry.control
            behind_ms = shown.promised_ms.get(task)
            if behind_ms is not None and entry.time_ms < behind_ms and not _may_be_late(entry, late):
                yield f"{where}: {task} at {entry.time_ms} behind its mark {behind_ms}"


def _written_by_tasks(history: TopicHistory) -> Iterator[TopicPartition]:
    """All logs but those of dead letters: a letter bears the number that its event has in another log."""
    return (tp for tp in history.logs if not tp.topic.endswith(LETTERS))


def _late_records(history: TopicHistory) -> set[str | None]:
    """Those that came late, and those of which a dead letter was replayed."""
    late = {
        event.record_id
        for source in history.definitions.sources
        for _, event in history.events(RECORDS.of(source).name, RecordAccepted)
        if event.late
    }
    return late | {getattr(read.message.event, "record_id", None) for read in replays(history, "")}


def _may_be_late(message: Message, late: set[str | None]) -> bool:
    """Late records pass, marked as such, up to the join; so does what a request brings in."""
    match message.event:
        case RecordAccepted() | RecordRekeyed() | InputsComputed() | LabelObserved() as event:
            return event.late
        case PredictionMade() as event:
            return event.origin == "http" or event.record_id in late
        case OutcomeScored() | OutcomeMatured():
            return False
        case _:
            return True


def repeats_say_the_same(evidence: Evidence) -> Iterator[str]:
    """20: whatever carries a number that a reader has taken says what was taken, whoever wrote it."""
    history = evidence.history
    for tp in _written_by_tasks(history):
        first: dict[tuple[str, int], tuple[str, bytes | None]] = {}
        for record, entry in history.entries(tp):
            if isinstance(entry, Mark) or entry.sequence is None:
                continue
            said = first.setdefault((entry.source, entry.sequence), (entry.id, record.value))
            if said != (entry.id, record.value):
                yield (
                    f"{tp.topic}/{tp.partition} offset {record.offset}: number {entry.sequence} of {entry.source} is "
                    f"event {entry.id}, and was {said[0]}"
                )


def unknown_writers(evidence: Evidence) -> Iterator[str]:
    """20: and no log holds numbers of a task that may not write it."""
    history = evidence.history
    allowed: dict[TopicPartition, set[str]] = defaultdict(set)
    for task in history.definitions.tasks:
        for output in task.outputs:
            for partition in task.targets(output):
                allowed[TopicPartition(output.topic, partition)].add(task.id)
    families = (INTAKE, RECORDS, ENTITY, SCORING, FEATURES, PREDICTIONS, JOINS, OUTCOMES)
    for tp in _written_by_tasks(history):
        ours = tp.topic == CONTROL.name or any(family.subject(tp.topic) is not None for family in families)
        for read in history.accepted(tp) if ours else ():
            if read.message.sequence is not None and read.message.source not in allowed[tp]:
                yield f"{tp.topic}/{tp.partition} offset {read.offset}: {read.message.source} may not write here"


def only_owners_count(evidence: Evidence) -> Iterator[str]:
    """20, whole."""
    yield from repeats_say_the_same(evidence)
    yield from unknown_writers(evidence)
