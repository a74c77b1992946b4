"""One step: pure handlers by event type, what they may ask for, and the only place that catches whatever they raise."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from shared.contracts.envelope import Event, Message
from shared.contracts.errors import HeadraceError
from shared.contracts.platform import Platform
from shared.contracts.topics import Topic
from shared.contracts.topology import TaskSpec
from shared.runtime.log import LogRecord


class Publish(NamedTuple):
    """Derive an event. `name` tells apart events of one kind, key and cause.

    `first_cause`: of what a head step publishes, for a record of a user's topic has no id but the one inside it.
    `trace`: the `traceparent` that it carries on, where that is not the one of the message that led to it.
    """

    topic: Topic
    key: str
    event: Event
    time_ms: int
    name: str = ""
    first_cause: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Call the handler for `name` (up to a `:`) once the watermark has passed `due_ms`. Setting it again moves it."""

    name: str
    due_ms: int


@dataclass(frozen=True, slots=True)
class ClearTimer:
    name: str


@dataclass(frozen=True, slots=True)
class Append:
    """Add a row to one of the task's buffers, from which a worker writes segments."""

    buffer: str
    row: bytes


Output = Publish | SetTimer | ClearTimer | Append


@dataclass(frozen=True, slots=True)
class Due:
    """A timer that fired: a cause of its own."""

    id: str
    key: str
    name: str
    due_ms: int


@dataclass(frozen=True, slots=True)
class Raw:
    """A record of a user's topic, as a head step reads it."""

    record: LogRecord


class Context(NamedTuple):
    """What a handler may know besides its state and its input, all of it shown by the log."""

    platform: Platform
    watermark_ms: int
    task: TaskSpec


class Wait(HeadraceError):
    """Not yet: the entry needs something that is on its way (control events, an artifact) and is tried again."""


class OtherRelease(Wait):
    """The entry is for code of another release of the service."""

    def __init__(self, service: str, shown: int, own: int) -> None:
        self.shown, self.own = shown, own
        how = (
            f"it runs release {own}, and release {shown} goes on from here"
            if shown > own
            else f"release {shown} has to bring it to where release {own} begins: let that run until it is there"
        )
        super().__init__(f"{how} (code of {service})")


Cause = Message | Due | Raw
Prepared = TypeVar("Prepared")
Handler = Callable[[Any, Any, Context], tuple[Any, Sequence[Output]]]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a service: `(state | None, event or timer, context) -> (state | None, outputs)` per state key.

    `state` is the type of the state (a pydantic model, a dataclass or a plain type that JSON can carry).
    """

    name: str
    state: Any
    events: Mapping[type[Event], Handler] = field(default_factory=dict[type[Event], Handler])
    timers: Mapping[str, Handler] = field(default_factory=dict[str, Handler])
    raw: Handler | None = None
    ready: Callable[[Message, Context], Wait | None] | None = None  # something an event needs may still be on its way
    lacks: Callable[[Platform, TaskSpec], Wait | None] | None = (
        None  # what definitions ask of this process, if it cannot
    )
    newest_ms: Callable[[Any], int | None] = lambda state: None  # of a head step's state: the newest event time
    key: Callable[[Message], str] = lambda message: message.key

    def handler(self, cause: Cause) -> Handler | None:
        """The handler for a cause; None: events of this kind do not concern the step."""
        if isinstance(cause, Message):
            return self.events.get(type(cause.event))
        if isinstance(cause, Due):
            return self.timers[cause.name.partition(":")[0]]
        return self.raw

    def key_of(self, cause: Cause) -> str:
        """The state key that a cause belongs to; a head step keeps one state for its partition."""
        if isinstance(cause, Message):
            return self.key(cause)
        return cause.key if isinstance(cause, Due) else "partition"


class Handled(NamedTuple, Generic[Prepared]):
    state: Any
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Failed:
    """A handler raised, or asked for what cannot be: the record goes to the dead letters, and the state stays."""

    error: Exception
    trace: str


def call(
    handler: Handler, state: Any, cause: Cause, context: Context, prepare: Callable[[Sequence[Output]], Prepared]
) -> Handled[Prepared] | Failed:
    """Run a handler and prepare its outputs (encode, address). What they raise becomes a value."""
    try:
        new_state, outputs = handler(state, cause, context)
        return Handled(new_state, prepare(outputs))
    except Exception as error:
        return Failed(error, traceback.format_exc(limit=-8))
