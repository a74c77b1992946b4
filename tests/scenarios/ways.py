"""A source's records on their way through features: what stood in which log, and under which control position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shared.contracts.envelope import Message, decode
from shared.contracts.errors import UnreadableEvent
from shared.contracts.flow import RecordAccepted, RecordRekeyed
from shared.contracts.stages import Stage
from shared.contracts.topics import dead_letters
from tests.scenarios.topic_history import Read, TopicHistory
from tests.scenarios.watermarks import followed


@dataclass(frozen=True, slots=True)
class Stood:
    """A record in the log of one entity. `control`: the position under which the log's task took it."""

    read: Read
    record_id: str
    entity: str | None
    control: int


def records_at(history: TopicHistory, stage: Stage) -> Iterator[Stood]:
    """All records that readers of a stage's log accept, in the order of each partition."""
    for tp in history.partitions(stage.topic.name):
        shown_at = {record.offset: shown.control for record, _, shown in followed(history, tp)}
        for read in history.accepted(tp):
            control = max(shown_at[read.offset], read.message.control)
            match read.message.event:
                case RecordAccepted(record_id=record_id):
                    yield Stood(read, record_id, read.message.key, control)
                case RecordRekeyed(record_id=record_id, entity=entity):
                    yield Stood(read, record_id, entity, control)
                case _:
                    pass


def letters(history: TopicHistory, service: str, topic: str | None = None) -> Iterator[Message]:
    """The events that a service's handlers could not take, each once however often its letter was sent.

    `topic`: only those of its log.
    """
    seen: set[bytes] = set()
    for tp in history.partitions(dead_letters(service)):
        for record in history.logs[tp]:
            headers = dict(record.headers)
            letter = headers.get("headrace_dead_id", b"")
            if letter in seen or topic not in (None, headers.get("__connect.errors.topic", b"").decode()):
                continue
            seen.add(letter)
            try:
                entry = decode(record.key, record.value, record.headers)
            except UnreadableEvent:
                continue
            if isinstance(entry, Message):
                yield entry


def buried_at(history: TopicHistory, stage: Stage) -> Iterator[tuple[str, str | None, int]]:
    """Record id, entity and event time of what the step of a stage could not take."""
    for message in letters(history, "features", stage.topic.name):
        match message.event:
            case RecordAccepted(record_id=record_id):
                yield record_id, message.key, message.time_ms
            case RecordRekeyed(record_id=record_id, entity=entity):
                yield record_id, entity, message.time_ms
            case _:
                pass
