"""Of the flow: 5 and 6."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain, pairwise

from shared.contracts.definitions import Model, Source
from shared.contracts.envelope import NEVER_MS, Event
from shared.contracts.flow import (
    InputsComputed,
    IntakeRecord,
    LabelObserved,
    LabelStatus,
    OutcomeMatured,
    OutcomeScored,
    PredictionMade,
    RecordAccepted,
    RecordRejected,
    RecordRekeyed,
    RecordStreamed,
    WindowsChanged,
)
from shared.contracts.topics import (
    FEATURES,
    INTAKE,
    JOINS,
    OUTCOMES,
    PREDICTIONS,
    RECORDS,
    REJECTED,
    SCORING,
)
from shared.runtime.log import TopicPartition
from tests.scenarios.evidence import Evidence
from tests.scenarios.set_aside import letters, replays, undecided
from tests.scenarios.topic_history import Read, TopicHistory
from tests.scenarios.watermarks import at_end, watermarks_ms
from tests.scenarios.ways import left_out, records_at

Place = tuple[int, int]  # partition and offset in the user's topic
Ids = Counter[str | None]
WAYS = ("accepted", "duplicate", "rejected", "dead")


def windows_change_once(evidence: Evidence) -> Iterator[str]:
    """5: a row of each view for each record in the log of its entity, and no other but those without state."""
    history = evidence.history
    for stage in history.definitions.stages.values():
        stood, missing = list(records_at(history, stage)), left_out(history, stage)
        buried: Counter[tuple[str | None, int]] = Counter()
        for (_, entity, time_ms), times in missing.items():
            buried[entity, time_ms] += times
        for view in stage.views:
            records = Counter(
                (one.entity, one.read.message.time_ms)
                for one in stood
                if one.entity is not None and view.name in evidence.platform(one.control).definitions.views
            )
            changes = Counter(
                (event.entity, read.message.time_ms)
                for read, event in history.events(FEATURES.of(view.name).name, WindowsChanged)
                if event.state
            )
            for entity, time_ms in records.keys() | changes.keys():
                known, found = records[entity, time_ms], changes[entity, time_ms]
                if known != found and known - found != buried[entity, time_ms]:
                    said = f"{known} records of {entity} at {time_ms} changed its windows {found} times"
                    yield f"view {view.name}: {said}"


# --- 6


def everything_is_counted(evidence: Evidence) -> Iterator[str]:
    """6: of a settled platform: what was read is accounted for, record by record."""
    history = evidence.history
    for source in history.definitions.sources.values():
        yield from _intake_is_counted(history, source)
        yield from _accepted_are_counted(history, source)
        yield from _sent_on_are_counted(evidence, source)
    for model in history.definitions.models.values():
        yield from _labels_are_counted(evidence, model)
        if model.mode == "stream":
            yield from _predictions_are_counted(evidence, model)
        else:
            yield from _nothing_is_streamed(history, model)


def _intake_is_counted(history: TopicHistory, source: Source) -> Iterator[str]:
    """Each record of the user's topic was taken or rejected by the head, or lies in its dead letters: once."""
    found: Counter[tuple[int, int]] = Counter()
    for _, event in history.events(INTAKE.of(source.name).name, IntakeRecord):
        found[event.partition, event.offset] += 1
    for read, event in history.events(REJECTED.name, RecordRejected):
        if event.topic == source.topic_name and read.message.source.startswith("ingestion/intake/"):
            found[event.partition, event.offset] += 1
    dead = (letter for letter in letters(history, "ingestion") if letter.tp.topic == source.topic_name)
    found.update((letter.tp.partition, letter.offset) for letter in dead)
    for tp in history.partitions(source.topic_name):
        for record in history.logs[tp]:
            times = found.pop((tp.partition, record.offset), 0)
            if times != 1:
                yield f"{source.name}/{tp.partition} offset {record.offset} was taken, rejected or buried {times} times"
    for partition, offset in found:
        yield f"{source.name}/{partition} offset {offset} was taken and does not exist"


def _accepted_are_counted(history: TopicHistory, source: Source) -> Iterator[str]:
    """Per partition and id: read = accepted (late ones included) + duplicate + rejected + dead, each counted alone.

    A dead letter that is replayed is read once more.
    """
    places: dict[Place, tuple[int, str]] = {}
    refused, dead = _refused(history, source), _dead_places(history, source)
    counted: dict[str, Counter[tuple[int, str]]] = defaultdict(Counter)
    for tp in history.partitions(INTAKE.of(source.name).name):
        for _, event in _intake(history, tp):
            places[event.partition, event.offset] = tp.partition, event.record_id
            counted["read"][tp.partition, event.record_id] += 1
        for event in _duplicates(history, source, tp, refused + dead):
            counted["duplicate"][tp.partition, event.record_id] += 1
    for read, event in history.events(RECORDS.of(source.name).name, RecordAccepted):
        counted["accepted"][read.tp.partition, event.record_id] += 1
    for what, found in (("rejected", refused), ("dead", dead)):
        for place, times in found.items():
            counted[what][places.get(place, (-1, f"at {place}"))] += times
    for partition, record_id in {where for counts in counted.values() for where in counts}:
        read, times = counted["read"][partition, record_id], {w: counted[w][partition, record_id] for w in WAYS}
        if read != sum(times.values()):
            yield f"{source.name}/{partition}: record {record_id} was read {read} times, and counted {times}"


def _intake(history: TopicHistory, tp: TopicPartition) -> Iterator[tuple[Read, IntakeRecord]]:
    again = (read for read in replays(history, f"ingestion/accept/{tp.topic}/") if read.tp == tp)
    for read in sorted(chain(history.accepted(tp), again), key=lambda read: read.offset):
        if isinstance(read.message.event, IntakeRecord):
            yield read, read.message.event


def _refused(history: TopicHistory, source: Source) -> Counter[Place]:
    return Counter(
        (event.partition, event.offset)
        for read, event in history.events(REJECTED.name, RecordRejected)
        if event.source == source.name and read.message.source.startswith("ingestion/accept/")
    )


def _dead_places(history: TopicHistory, source: Source) -> Counter[Place]:
    events = (letter.message.event for letter in letters(history, "ingestion") if letter.message is not None)
    return Counter(
        (event.partition, event.offset)
        for event in events
        if isinstance(event, IntakeRecord) and event.source == source.name
    )


def _duplicates(
    history: TopicHistory, source: Source, tp: TopicPartition, stopped: Counter[Place]
) -> Iterator[IntakeRecord]:
    """Whatever comes again under an id that fitted, before the log's watermark has passed the time to forget it.

    `stopped`: how often what stood at a place was refused or died, before it was taken if it ever was.
    """
    watermark_ms, left = watermarks_ms(history, tp), Counter(stopped)
    forgotten_ms: dict[str, int] = {}
    for read, event in _intake(history, tp):
        if left[event.partition, event.offset] > 0:
            left[event.partition, event.offset] -= 1
            continue
        now_ms = watermark_ms[read.offset]
        if now_ms <= forgotten_ms.get(event.record_id, NEVER_MS - 1):
            yield event
        else:
            forgotten_ms[event.record_id] = max(read.message.time_ms, now_ms) + source.retention.duplicates


def _sent_on_are_counted(evidence: Evidence, source: Source) -> Iterator[str]:
    """Per record: what stood in one log of the way stands once in the next, or was buried before."""
    history = evidence.history
    for one, following in pairwise(history.definitions.ways[source.name]):
        came: Ids = Counter(stood.record_id for stood in records_at(history, following))
        buried: Ids = Counter()
        for (record_id, _, _), times in left_out(history, one).items():
            buried[record_id] += times
        sent: Ids = Counter(
            stood.record_id
            for stood in records_at(history, one)
            if following.subject in evidence.platform(stood.control).definitions.stages
        )
        for record_id in sent.keys() | came.keys():
            if sent[record_id] != came[record_id] and sent[record_id] - came[record_id] != buried[record_id]:
                yield (
                    f"{source.name}: record {record_id} stood {sent[record_id]} times in {one.topic.name}, "
                    f"{came[record_id]} times in {following.topic.name}, and was buried {buried[record_id]} times"
                )


def _predictions_are_counted(evidence: Evidence, model: Model) -> Iterator[str]:
    """Per streamed record: accepted = before the first version + scored + dead, on each stage of its way.

    What was dead and is replayed comes to its stage once more.
    """
    history, name = evidence.history, model.name
    accepted: Ids = Counter(
        event.record_id
        for read, event in history.events(RECORDS.of(model.scores).name, RecordAccepted)
        if name in evidence.platform(read.message.control).definitions.models
    )
    inputs: Ids = Counter(e.record_id for _, e in history.events(SCORING.of(name).name, InputsComputed))
    before: Ids = Counter()
    scored: Ids = Counter()
    for _, event in history.events(PREDICTIONS.of(name).name, PredictionMade):
        if event.origin == "stream":
            (before if event.answered_by is None else scored)[event.record_id] += 1
    dead = {service: _lost(history, service, model) for service in ("features", "serving", "monitoring")}
    no_inputs = dead["features"]
    no_answer = no_inputs + dead["serving"]
    for record_id in accepted.keys() | inputs.keys() | before.keys() | scored.keys():
        times = accepted[record_id]
        if times != inputs[record_id] + no_inputs[record_id]:
            yield f"{name}: {record_id} was accepted {times} times, its inputs were computed {inputs[record_id]} times"
        if times != before[record_id] + scored[record_id] + no_answer[record_id]:
            yield (
                f"{name}: {record_id} was accepted {times} times, came before the first version {before[record_id]}, "
                f"was scored {scored[record_id]} and buried {no_answer[record_id]} times"
            )
    yield from _outcomes_are_counted(history, model, +(before + scored - dead["monitoring"]))
    yield from _streamed_are_told(history, model, scored, dead["monitoring"])


def _nothing_is_streamed(history: TopicHistory, model: Model) -> Iterator[str]:
    """A model that answers requests only costs nothing on the stream."""
    for read, event in history.events(SCORING.of(model.name).name, InputsComputed):
        yield f"{_at(read)}: inputs of {event.record_id} were computed for {model.name}, which answers requests only"
    for read, event in history.events(PREDICTIONS.of(model.name).name, PredictionMade):
        if event.origin == "stream":
            yield f"{_at(read)}: {event.record_id} was scored by {model.name}, which answers requests only"


def _at(read: Read) -> str:
    return f"{read.tp.topic}/{read.tp.partition} offset {read.offset}"


def _streamed_are_told(history: TopicHistory, model: Model, scored: Ids, dead: Ids) -> Iterator[str]:
    """A record that was scored on the stream makes its outcome, or is told beside the one that a request made."""
    outcomes = OUTCOMES.of(model.name).name
    told: Ids = Counter(event.record_id for _, event in history.events(outcomes, RecordStreamed))
    for _, event in history.events(outcomes, OutcomeScored):
        made = event.prediction
        told[made.record_id] += made.origin == "stream" and made.answered_by is not None
    for record_id in (scored.keys() | told.keys()) - dead.keys():
        if scored[record_id] != told[record_id]:
            yield (
                f"{model.name}: {record_id} was scored {scored[record_id]} times on the stream, its outcomes tell of "
                f"{told[record_id]}"
            )


def _lost(history: TopicHistory, service: str, model: Model) -> Ids:
    """Records of the model's whose events a service could not take or publish, less those that it was given again."""
    dead = (letter.message for letter in letters(history, service))
    found: Ids = Counter(_record_of(message.event, model) for message in dead if message is not None)
    found.subtract(_record_of(read.message.event, model) for read in replays(history, f"{service}/"))
    del found[None]
    return +found


def _record_of(event: Event, model: Model) -> str | None:
    """None: it is not about a record of the model's."""
    match event:
        case RecordAccepted(source=source) if source == model.scores:
            return event.record_id
        case RecordRekeyed(models=models) if model.name in models:
            return event.record_id
        case InputsComputed(model=name) | PredictionMade(model=name) if name == model.name:
            return event.record_id
        case _:
            return None


def _labels_are_counted(evidence: Evidence, model: Model) -> Iterator[str]:
    """Per label: accepted = brought to the join + dead, what is replayed coming once more."""
    history, step = evidence.history, f"monitoring/key_labels/{RECORDS.of(model.label.source).name}/"
    accepted: Ids = Counter(
        event.record_id
        for read, event in history.events(RECORDS.of(model.label.source).name, RecordAccepted)
        if model.name in evidence.platform(read.message.control).definitions.models
    )
    dead = (one.message for one in letters(history, "monitoring") if one.task.startswith(step))
    accepted.subtract(m.event.record_id for m in dead if m is not None and isinstance(m.event, RecordAccepted))
    again = (read.message.event for read in replays(history, step))
    accepted.update(event.record_id for event in again if isinstance(event, RecordAccepted))
    observed: Ids = Counter(e.label_id for _, e in history.events(JOINS.of(model.name).name, LabelObserved))
    for label_id in accepted.keys() | observed.keys():
        if accepted[label_id] != observed[label_id]:
            yield f"{model.name}: label {label_id} was to come {accepted[label_id]} times and did {observed[label_id]}"


def _outcomes_are_counted(history: TopicHistory, model: Model, predicted: Ids) -> Iterator[str]:
    """Per record: scored = joined (with a label, or `absent`) + unlabelled + unmatured.

    `predicted`: how often a record's predictions came to the join from the stream.
    """
    outcomes = OUTCOMES.of(model.name).name
    scored = {event.prediction.record_id: (read, event) for read, event in history.events(outcomes, OutcomeScored)}
    counted: dict[str, Ids] = {"joined": Counter(), "unlabelled": Counter(), "unmatured": Counter()}
    for _, event in history.events(outcomes, OutcomeMatured):
        what = "unlabelled" if event.status is LabelStatus.UNLABELLED else "joined"
        counted[what][event.prediction.record_id] += 1
    shown_ms = at_end(history, TopicPartition(outcomes, 0)).promised_ms
    for record_id, (read, event) in scored.items():
        due_ms = max(event.scored_ms + model.label.matures_after, read.message.time_ms)
        if due_ms >= shown_ms.get(read.message.source, NEVER_MS):
            counted["unmatured"][record_id] += 1
    waits = undecided(history, model.name)
    for record_id in predicted.keys() | scored.keys() | {one for counts in counted.values() for one in counts}:
        times = {what: counts[record_id] for what, counts in counted.items()}
        if record_id not in scored or sum(times.values()) != 1 - waits[record_id]:
            said = "" if record_id in scored else "is no scored outcome and "
            yield f"{model.name}: record {record_id} {said}was counted {times}"
        elif scored[record_id][1].prediction.origin == "stream" and not predicted[record_id]:
            yield f"{model.name}: record {record_id} is a scored outcome, and its prediction never came"
