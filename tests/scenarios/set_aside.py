"""What tasks could not take, and what of it was replayed: from the dead letters, and from the inputs of the tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from services.monitoring.label_join import DUE
from shared.contracts.envelope import Message, decode
from shared.contracts.errors import UnreadableEvent
from shared.contracts.flow import TimerReplayed
from shared.contracts.topics import JOINS, dead_letters
from shared.runtime.dead_letters import came_with
from shared.runtime.log import LogRecord, TopicPartition
from tests.scenarios.topic_history import Read, TopicHistory


@dataclass(frozen=True, slots=True)
class Dead:
    """A letter. It stood at `offset` of `tp`; -1: a timer, or an event that was too large. `message`: if it is one."""

    task: str
    tp: TopicPartition
    offset: int
    key: str
    timer: str
    message: Message | None


def letters(history: TopicHistory, service: str) -> Iterator[Dead]:
    """What a service could not take, each once however often its letter was sent."""
    seen: set[bytes] = set()
    for tp in history.partitions(dead_letters(service)):
        for record in history.logs[tp]:
            headers = dict(record.headers)
            letter = headers.get("headrace_dead_id", b"")
            if letter not in seen:
                seen.add(letter)
                yield _dead(record, {name: value.decode(errors="replace") for name, value in headers.items()})


def _dead(record: LogRecord, said: dict[str, str]) -> Dead:
    try:
        entry = decode(record.key, record.value, came_with(record.headers))
    except UnreadableEvent:
        entry = None
    return Dead(
        said["__connect.errors.task.id"],
        TopicPartition(said["__connect.errors.topic"], int(said["__connect.errors.partition"])),
        int(said["__connect.errors.offset"]),
        (record.key or b"").decode(errors="replace"),
        said.get("headrace_timer", ""),
        entry if isinstance(entry, Message) else None,
    )


def replays(history: TopicHistory, task: str) -> Iterator[Read]:
    """Dead letters that entered the input again of tasks whose ids begin so: each once, however often it was sent."""
    return (read for read in history.replays if str(read.message.replay_for).startswith(task))


def undecided(history: TopicHistory, model: str) -> Counter[str | None]:
    """Records whose outcome was not decided, for its timer died, less those whose timer fired again."""
    joins = f"monitoring/join/{JOINS.of(model).name}/"
    dead = (one for one in letters(history, "monitoring") if one.task.startswith(joins))
    found: Counter[str | None] = Counter(one.key for one in dead if one.timer == DUE)
    again = ((read.message.key, read.message.event) for read in replays(history, joins))
    found.subtract(key for key, event in again if isinstance(event, TimerReplayed) and event.name == DUE)
    return +found
