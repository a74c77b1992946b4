"""Writes a command to the log, and waits for what the log answers. A command sent twice counts once, by its id."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.contracts import control as c
from shared.contracts.envelope import NEVER_MS, Event, Message, rfc3339
from shared.contracts.errors import HeadraceError
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL
from shared.contracts.trace_context import trace_id_of
from shared.runtime.process import Process

Found = TypeVar("Found")
ModelCommand = c.RetrainModel | c.ApproveVersion | c.PromoteVersion | c.RollBackModel
ACCEPTED_WITHIN_S = 10.0
LOOK_EVERY_S = 0.005


class NotFounded(HeadraceError):
    """There is no control log yet."""

    def __init__(self) -> None:
        super().__init__(
            "the platform is not founded yet: the registry does that as soon as the broker answers; "
            "see what the services wait for with `headrace status`"
        )


class NotTaken(HeadraceError):
    """The log did not take an event in time."""

    def __init__(self, waited_s: float) -> None:
        super().__init__(
            f"the log has not taken it within {waited_s:.0f} s, so the broker may be away; it is still queued: "
            "ask again under the same request_id, which counts once, and see `headrace status`"
        )


@dataclass(frozen=True, slots=True)
class Happened:
    """One accepted entry of the control log and its position: the platform at `control` includes it."""

    control: int
    message: Message

    def shown(self) -> dict[str, Any]:
        event = self.message.event
        return {
            "control": self.control,
            "id": self.message.id,
            "trace_id": trace_id_of(self.message.trace),
            "type": type(event).__name__,
            "time": rfc3339(self.message.time_ms),
            "source": self.message.source,
            "event": event.model_dump(mode="json"),
        }


class ControlWriter:
    """Used by HTTP threads; the driver sends what is queued here, and reads the log."""

    def __init__(self, process: Process) -> None:
        self._process, self._history = process, process.history

    def write(self, event: Event, event_id: str, time_ms: int) -> int:
        """Put an event into the log; the position at which it was accepted. Raises NotFounded or NotTaken."""
        if self._history.log_id is None:
            raise NotFounded
        found = self._history.position_of(event_id)
        if found is not None:
            return found
        self._process.outside.publish(CONTROL, event, event_id=event_id, time_ms=time_ms)
        found = _wait(lambda: self._history.position_of(event_id), ACCEPTED_WITHIN_S)
        if found is None:
            raise NotTaken(ACCEPTED_WITHIN_S)
        return found

    def command(self, command: ModelCommand) -> int:
        """Put a command about a model into the log, under the newest time of that model's clock."""
        now_ms = self._history.newest.now_ms(command.model)
        time_ms = self._process.clock.wall_ms() if now_ms == NEVER_MS else now_ms
        return self.write(command, derived_id(command.request_id, command.ce_type, command.model), time_ms)

    def apply(self, request: c.ApplyDefinitions) -> int:
        """Ask for definitions."""
        return self.write(request, derived_id(request.request_id, request.ce_type), self._process.clock.wall_ms())

    def answer_to(self, position: int, answers: Callable[[Message], bool], within_s: float) -> Happened | None:
        """The first event behind `position` that answers; None if it does not come within the time."""
        seen = position

        def look() -> Happened | None:
            nonlocal seen
            for happened in accepted(self._process, seen, self._history.newest.position):
                if answers(happened.message):
                    return happened
            seen = max(seen, self._history.newest.position)
            return None

        return _wait(look, within_s)


def accepted(process: Process, start: int, end: int) -> Iterable[Happened]:
    """The accepted entries of the control log at positions above `start`, up to `end`."""
    for number, entry in enumerate(process.history.entries[start:end], start + 1):
        if entry.message is not None:
            yield Happened(number, entry.message)


def answers_definitions(request_id: str) -> Callable[[Message], bool]:
    """Whether an event says what became of the definitions of a request."""

    def answers(message: Message) -> bool:
        event = message.event
        return isinstance(event, c.DefinitionsApplied | c.DefinitionsRefused) and event.request_id == request_id

    return answers


def answers_command(command: ModelCommand, position: int) -> Callable[[Message], bool]:
    """Whether an event is the effect of a command that was accepted at `position`, or its refusal."""

    def answers(message: Message) -> bool:
        event = message.event
        if isinstance(event, c.CommandRefused):
            return event.request_id == command.request_id
        if getattr(event, "model", None) != command.model:
            return False
        match command, event:
            case c.RetrainModel(), c.RunRequested(reason=reason):
                return reason is c.RunReason.COMMAND
            case c.ApproveVersion(), c.VersionApproved(version=version):
                return version == command.version
            case c.PromoteVersion(), c.VersionPromoted(version=version):
                return version == command.version
            case c.RollBackModel(), c.RolloutEnded() | c.VersionWithdrawn():
                return message.control == position  # a rollout may have ended by itself just before
            case c.RollBackModel(), c.ModelRolledBack():
                return message.control >= position  # it waits until serving has the version
            case _:
                return False

    return answers


def _wait(look: Callable[[], Found | None], within_s: float) -> Found | None:
    until_s = time.monotonic() + within_s
    while True:
        found = look()
        if found is not None or time.monotonic() > until_s:
            return found
        time.sleep(LOOK_EVERY_S)
