"""A source's records on their way through features: what stood in which log, and under which control position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from shared.contracts.envelope import Message
from shared.contracts.flow import RecordAccepted, RecordRekeyed
from shared.contracts.stages import Stage
from tests.scenarios.set_aside import Dead, letters, replays
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


def left_out(history: TopicHistory, stage: Stage) -> Counter[tuple[str, str | None, int]]:
    """Record id, entity and event time of what the step of a stage could not take, less what it was given again."""
    found = Counter(_named(message) for _, message in _dead(history, stage))
    found.subtract(_named(read.message) for read in _replayed(history, stage))
    return +found


def taken_again(history: TopicHistory, stage: Stage) -> dict[str, Read | None]:
    """By record id, of what the step of a stage could not take where it stood: the replay that it took, if it did."""
    dead = list(_dead(history, stage))
    died = {(letter.tp, letter.offset) for letter, _ in dead}
    again = {_named(r.message)[0]: r for r in _replayed(history, stage) if (r.tp, r.offset) not in died}
    names = (_named(message)[0] for _, message in dead)
    return {name: again.get(name) for name in names}


def _dead(history: TopicHistory, stage: Stage) -> Iterator[tuple[Dead, Message]]:
    for letter in letters(history, "features"):
        if letter.tp.topic == stage.topic.name and letter.message is not None and _is_record(letter.message):
            yield letter, letter.message


def _replayed(history: TopicHistory, stage: Stage) -> Iterator[Read]:
    again = replays(history, "features/")
    return (read for read in again if read.tp.topic == stage.topic.name and _is_record(read.message))


def _is_record(message: Message) -> bool:
    return isinstance(message.event, RecordAccepted | RecordRekeyed)


def _named(message: Message) -> tuple[str, str | None, int]:
    event = message.event
    assert isinstance(event, RecordAccepted | RecordRekeyed)
    entity = event.entity if isinstance(event, RecordRekeyed) else message.key
    return event.record_id, entity, message.time_ms
