"""What a dead letter becomes when it enters its task's input again, and which letters do not."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contracts.envelope import Encoded, Headers, Mark, Message, decode, encode
from shared.contracts.errors import HeadraceError, UnreadableEvent
from shared.contracts.flow import TimerReplayed
from shared.contracts.identity import derived_id
from shared.contracts.topology import Definitions, TaskSpec
from shared.contracts.trace_context import carried_on
from shared.runtime.dead_letters import came_with, letter_facts
from shared.runtime.log import LogRecord, TopicPartition

REPLAY_OF = "headrace_replay_of"


class NotReplayable(HeadraceError):
    """A letter that cannot enter its task's input again, with why and what to do."""

    def __init__(self, letter_id: str, why: str) -> None:
        super().__init__(f"letter {letter_id} cannot be replayed: {why}")


@dataclass(frozen=True, slots=True)
class Replay:
    """What is appended to a task's input. `event_id` None: a user's record, whose id lies inside it."""

    tp: TopicPartition
    encoded: Encoded
    task: TaskSpec
    event_id: str | None


def replay_of(letter: LogRecord, definitions: Definitions, writer: str) -> Replay:
    """The same data under a new id, from the same writer each time: so it counts once, however often it is asked for.

    A user's record goes to the user's topic, where its own id tells it apart. An event or a timer is addressed to its
    task alone, for others have read it; it takes no sequence of a task, `writer` is whose it is. Raises NotReplayable.
    """
    said = {name: value.decode(errors="replace") for name, value in letter.headers}
    letter_id = said["headrace_dead_id"]
    task = _task(letter_id, said["__connect.errors.task.id"], definitions)
    if "headrace_value_length" in said:
        raise NotReplayable(letter_id, _cut(said))
    tp, headers = TopicPartition(task.topic, task.partition), came_with(letter.headers)
    if task.head:
        return Replay(tp, _record(letter, headers, letter_id), task, None)
    message = _timer(letter, said, letter_id) if "headrace_timer" in said else _event(letter, headers, letter_id)
    event_id = derived_id(letter_id, "replay")
    trace = carried_on(message.trace, event_id) if message.trace else None
    sent = message._replace(id=event_id, source=writer, sequence=None, trace=trace, replay_for=task.id)
    return Replay(tp, encode(sent), task, event_id)


def _task(letter_id: str, task_id: str, definitions: Definitions) -> TaskSpec:
    task = next((task for task in definitions.tasks if task.id == task_id), None)
    if task is None:
        raise NotReplayable(letter_id, f"no definition in force calls for its task {task_id}: apply the one that did")
    if task.decides:
        raise NotReplayable(
            letter_id,
            f"{task_id} decides in the order of its log, and what came later is decided already; "
            "where it still matters, ask anew with retrain, approve, promote or rollback",
        )
    return task


def _cut(said: dict[str, str]) -> str:
    kept = f"only the first 64 kB of its {said['headrace_value_length']} bytes are kept"
    if int(said["__connect.errors.offset"]) < 0:
        return f"{kept}, and as a whole the broker would not take it: publish a smaller record under a new id"
    where = f"{said['__connect.errors.topic']}/{said['__connect.errors.partition']}@{said['__connect.errors.offset']}"
    return f"{kept}; while its topic keeps it, the whole stands at {where}"


def _record(letter: LogRecord, headers: Headers, letter_id: str) -> Encoded:
    own = tuple(header for header in headers if header[0] != REPLAY_OF)
    return Encoded(letter.key, letter.value, (*own, (REPLAY_OF, letter_id.encode())))


def _timer(letter: LogRecord, said: dict[str, str], letter_id: str) -> Message:
    due_ms = said.get("headrace_timer_due_ms", "")
    if not due_ms:
        raise NotReplayable(letter_id, "an earlier release wrote it, without the time at which its timer was due")
    event = TimerReplayed(name=said["headrace_timer"], due_ms=int(due_ms))
    return Message("", "", int(due_ms), (letter.key or b"").decode(), event)


def _event(letter: LogRecord, headers: Headers, letter_id: str) -> Message:
    try:
        entry = decode(letter.key, letter.value, headers)
    except UnreadableEvent as error:
        raise NotReplayable(letter_id, f"its bytes are no event that a task could read ({error})") from error
    if isinstance(entry, Mark):
        raise NotReplayable(letter_id, "it is a mark, and newer ones stand behind it")
    return entry


def facts(letter: LogRecord) -> dict[str, str | int | None]:
    """What a list of letters tells of one."""
    return {"timer": dict(letter.headers).get("headrace_timer", b"").decode() or None, **letter_facts(letter.headers)}
