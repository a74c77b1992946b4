"""Of the flow: 5, 6, 7 (what a topic alone shows of it) and 20."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from shared.contracts.definitions import Model, Source
from shared.contracts.envelope import Mark, Message, decode
from shared.contracts.errors import UnreadableEvent
from shared.contracts.flow import (
    InputsComputed,
    IntakeRecord,
    LabelObserved,
    OutcomeMatured,
    OutcomeScored,
    PredictionMade,
    RecordAccepted,
    RecordRejected,
    WindowsChanged,
)
from shared.contracts.topics import (
    CONTROL,
    FEATURES,
    INTAKE,
    JOINS,
    OUTCOMES,
    PREDICTIONS,
    RECORDS,
    REJECTED,
    SCORING,
    dead_letters,
)
from shared.runtime.log import TopicPartition
from tests.scenarios.evidence import Evidence
from tests.scenarios.topic_history import TopicHistory


def windows_change_once(evidence: Evidence) -> Iterator[str]:
    """5: a row of each view for each accepted record of its source, and no other; forgetting has rows without state."""
    history = evidence.history
    for name, view in history.definitions.views.items():
        records: Counter[tuple[str, int]] = Counter()
        for read, _ in history.events(RECORDS.of(view.source).name, RecordAccepted):
            if name in evidence.platform(read.message.control).definitions.views:
                records[read.message.key, read.message.time_ms] += 1
        buried = _dead(history, "features", RecordAccepted)
        changes = Counter(
            (event.entity, read.message.time_ms)
            for read, event in history.events(FEATURES.of(name).name, WindowsChanged)
            if event.state
        )
        for entity, time_ms in records.keys() | changes.keys():
            known, found = records[entity, time_ms], changes[entity, time_ms]
            if known != found and known - found != buried[entity, time_ms]:
                yield f"view {name}: {known} records of {entity} at {time_ms} changed its windows {found} times"


def _dead(history: TopicHistory, service: str, kind: type[RecordAccepted]) -> Counter[tuple[str, int]]:
    return Counter((m.key, m.time_ms) for m in _letters(history, service) if isinstance(m.event, kind))


def _letters(history: TopicHistory, service: str) -> Iterator[Message]:
    """The events that a service's handlers could not take, each once however often its letter was sent."""
    seen: set[bytes] = set()
    for tp in history.partitions(dead_letters(service)):
        for record in history.logs[tp]:
            headers = dict(record.headers)
            letter = headers.get("headrace_dead_id", b"")
            if letter in seen:
                continue
            seen.add(letter)
            try:
                entry = decode(record.key, record.value, record.headers)
            except UnreadableEvent:
                continue
            if isinstance(entry, Message):
                yield entry


# --- 6


def everything_is_counted(evidence: Evidence) -> Iterator[str]:
    """6: of a settled platform: what was read is accounted for, record by record."""
    history = evidence.history
    for source in history.definitions.sources.values():
        yield from _intake_is_counted(history, source)
        yield from _accepted_are_counted(history, source)
    for model in history.definitions.models.values():
        if model.mode == "stream":
            yield from _predictions_are_counted(evidence, model)


def _intake_is_counted(history: TopicHistory, source: Source) -> Iterator[str]:
    """Each record of the user's topic was taken or rejected by the head, or lies in its dead letters: once."""
    found: Counter[tuple[int, int]] = Counter()
    for _, event in history.events(INTAKE.of(source.name).name, IntakeRecord):
        found[event.partition, event.offset] += 1
    for read, event in history.events(REJECTED.name, RecordRejected):
        if event.topic == source.topic_name and read.message.source.startswith("ingestion/intake/"):
            found[event.partition, event.offset] += 1
    dead: set[tuple[int, int]] = set()
    for tp in history.partitions(dead_letters("ingestion")):
        for record in history.logs[tp]:
            headers = dict(record.headers)
            if headers.get("__connect.errors.topic") == source.topic_name.encode():
                place = headers["__connect.errors.partition"], headers["__connect.errors.offset"]
                dead.add((int(place[0]), int(place[1])))
    found.update(dead)
    for tp in history.partitions(source.topic_name):
        for record in history.logs[tp]:
            times = found.pop((tp.partition, record.offset), 0)
            if times != 1:
                yield f"{source.name}/{tp.partition} offset {record.offset} was taken, rejected or buried {times} times"
    for partition, offset in found:
        yield f"{source.name}/{partition} offset {offset} was taken and does not exist"


def _accepted_are_counted(history: TopicHistory, source: Source) -> Iterator[str]:
    """Of what was taken each id is accepted once; again only after it was forgotten; otherwise rejected or buried."""
    taken: Counter[str] = Counter()
    for _, event in history.events(INTAKE.of(source.name).name, IntakeRecord):
        taken[event.record_id] += 1
    refused: Counter[str] = Counter()
    ids = {
        (event.partition, event.offset): event.record_id
        for _, event in history.events(INTAKE.of(source.name).name, IntakeRecord)
    }
    for read, event in history.events(REJECTED.name, RecordRejected):
        if event.source == source.name and read.message.source.startswith("ingestion/accept/"):
            refused[ids.get((event.partition, event.offset), "?")] += 1
    for message in _letters(history, "ingestion"):
        if isinstance(message.event, IntakeRecord) and message.event.source == source.name:
            refused[message.event.record_id] += 1
    times_ms: dict[str, list[int]] = defaultdict(list)
    for read, event in history.events(RECORDS.of(source.name).name, RecordAccepted):
        times_ms[event.record_id].append(read.message.time_ms)
    for record_id in taken.keys() | times_ms.keys() | refused.keys():
        accepted = times_ms[record_id]
        duplicates = taken[record_id] - len(accepted) - refused[record_id]
        if duplicates < 0 or (duplicates and not accepted):
            yield (
                f"{source.name}: record {record_id} was taken {taken[record_id]} times, accepted {len(accepted)} and "
                f"refused {refused[record_id]} times"
            )
        if len(accepted) > 1 and max(accepted) - min(accepted) <= source.retention.duplicates:
            yield f"{source.name}: record {record_id} was accepted {len(accepted)} times"


def _predictions_are_counted(evidence: Evidence, model: Model) -> Iterator[str]:
    """accepted = before the first version + scored + dead; scored = joined + unlabelled + unmatured."""
    history, name = evidence.history, model.name
    accepted: Counter[str | None] = Counter(
        event.record_id
        for read, event in history.events(RECORDS.of(model.scores).name, RecordAccepted)
        if name in evidence.platform(read.message.control).definitions.models
    )
    dead: Counter[str | None] = Counter()
    for service in ("features", "serving", "monitoring"):
        for message in _letters(history, service):
            event = message.event
            if (isinstance(event, RecordAccepted) and event.source == model.scores) or (
                isinstance(event, InputsComputed | PredictionMade) and event.model == name
            ):
                dead[event.record_id] += 1
    stages: dict[str, Counter[str | None]] = {
        "inputs": Counter(e.record_id for _, e in history.events(SCORING.of(name).name, InputsComputed)),
        "predictions": Counter(
            e.record_id for _, e in history.events(PREDICTIONS.of(name).name, PredictionMade) if e.origin == "stream"
        ),
    }
    for stage, found in stages.items():
        for record_id in accepted.keys() | found.keys():
            if not 0 <= accepted[record_id] - found[record_id] <= dead[record_id]:
                yield f"{name}: {record_id} was accepted {accepted[record_id]} times, its {stage} {found[record_id]}"
    yield from _outcomes_are_counted(history, model, {e for e in stages["predictions"] if not dead[e]})


def _outcomes_are_counted(history: TopicHistory, model: Model, predicted: set[str | None]) -> Iterator[str]:
    outcomes = OUTCOMES.of(model.name).name
    scored = {event.prediction.record_id: (read, event) for read, event in history.events(outcomes, OutcomeScored)}
    matured = {event.prediction.record_id for _, event in history.events(outcomes, OutcomeMatured)}
    for record_id in sorted(map(str, predicted - scored.keys())):
        yield f"{model.name}: record {record_id} was predicted and has no outcome"
    for record_id in sorted(map(str, matured - scored.keys())):
        yield f"{model.name}: record {record_id} matured and was not scored"
    shown = _marked(history, TopicPartition(outcomes, 0))
    for record_id, (read, event) in scored.items():
        due_ms = max(event.scored_ms + model.label.matures_after, read.message.time_ms)
        if record_id not in matured and due_ms < shown.get(read.message.source, due_ms):
            yield f"{model.name}: record {record_id} was due at {due_ms}, which has passed, and has not matured"


def _marked(history: TopicHistory, tp: TopicPartition) -> dict[str, int]:
    newest: dict[str, int] = {}
    for _, entry in history.entries(tp):
        if isinstance(entry, Mark):
            newest[entry.source] = max(newest.get(entry.source, entry.watermark_ms), entry.watermark_ms)
    return newest


# --- 7 and 20


def promises_are_kept(evidence: Evidence) -> Iterator[str]:
    """7: no task's control position goes back, and none goes behind a watermark that it has marked."""
    history = evidence.history
    late = _late_records(history)
    for tp in history.logs:
        last: dict[str, int] = {}
        control: dict[str, int] = {}
        promised_ms: dict[str, int] = {}
        for record, entry in history.entries(tp):
            task = entry.source
            if isinstance(entry, Mark):
                if entry.sequence <= last.get(task, 0):
                    promised_ms[task] = max(promised_ms.get(task, entry.watermark_ms), entry.watermark_ms)
                continue
            if entry.sequence is None or entry.sequence != last.get(task, 0) + 1:
                continue
            last[task] = entry.sequence
            if entry.control < control.get(task, 0):
                yield f"{tp.topic}/{tp.partition} offset {record.offset}: {task} goes back to control {entry.control}"
            control[task] = entry.control
            behind = promised_ms.get(task)
            if behind is not None and entry.time_ms < behind and not _may_be_late(entry, late):
                where = f"{tp.topic}/{tp.partition} offset {record.offset}"
                yield f"{where}: {task} at {entry.time_ms} behind its mark {behind}"


def _late_records(history: TopicHistory) -> set[str | None]:
    return {
        event.record_id
        for source in history.definitions.sources
        for _, event in history.events(RECORDS.of(source).name, RecordAccepted)
        if event.late
    }


def _may_be_late(message: Message, late: set[str | None]) -> bool:
    """Late records pass, marked as such, up to the join; so does what a request brings in."""
    match message.event:
        case RecordAccepted() | InputsComputed() | LabelObserved() as event:
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
    for tp in history.logs:
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
    families = (INTAKE, RECORDS, SCORING, FEATURES, PREDICTIONS, JOINS, OUTCOMES)
    for tp in history.logs:
        ours = tp.topic == CONTROL.name or any(family.subject(tp.topic) is not None for family in families)
        for read in history.accepted(tp) if ours else ():
            if read.message.sequence is not None and read.message.source not in allowed[tp]:
                yield f"{tp.topic}/{tp.partition} offset {read.offset}: {read.message.source} may not write here"


def only_owners_count(evidence: Evidence) -> Iterator[str]:
    """20, whole."""
    yield from repeats_say_the_same(evidence)
    yield from unknown_writers(evidence)
