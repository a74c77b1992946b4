"""A control log in memory: what a step decides lands behind whatever came meanwhile, when the test says so."""

from __future__ import annotations

from collections import deque
from typing import Any

from pydantic import TypeAdapter

from shared.contracts.envelope import NEVER_MS, Event, Message, decode, encode
from shared.contracts.identity import derived_id
from shared.contracts.platform import Platform
from shared.contracts.topics import CONTROL
from shared.contracts.topology import TaskSpec
from shared.runtime.step import Context, Publish, Step
from tests import builders as b


class ControlPlane:
    """Steps on one control log. Their states go through JSON after each entry, as a task's file would have them."""

    def __init__(self, *steps: Step) -> None:
        self.steps = steps
        self.states: dict[str, Any] = {step.name: None for step in steps}
        self.outboxes: dict[str, deque[Message]] = {step.name: deque() for step in steps}
        self.platforms = [Platform()]
        self.log: list[Message] = []
        self.now_ms = b.T0_MS

    @property
    def platform(self) -> Platform:
        return self.platforms[-1]

    @property
    def events(self) -> list[Event]:
        return [message.event for message in self.log]

    def put(self, event: Event, time_ms: int | None = None) -> None:
        """Let an event from outside land; what the steps decide on it waits in their outboxes."""
        at = self.now_ms if time_ms is None else time_ms
        self._take(Message(derived_id("outside", str(len(self.log))), "test", at, "", event))

    def land(self, step: str) -> None:
        """Let the next event that a step has decided land."""
        self._take(self.outboxes[step].popleft())

    def tell(self, *events: Event, time_ms: int | None = None) -> list[Event]:
        """Events from outside, and whatever follows from them; what followed is returned."""
        followed: list[Event] = []
        for event in events:
            self.put(event, time_ms)
            start = len(self.log)
            while waiting := [name for name, outbox in self.outboxes.items() if outbox]:
                self.land(waiting[0])
            followed += self.events[start:]
        return followed

    def tick(self, later_ms: int = 0, *sources: str) -> list[Event]:
        """A tick of the sources' clock so much later; without sources, of the wall clock."""
        self.now_ms += later_ms
        return self.tell(b.tick(*sources))

    def _take(self, message: Message) -> None:
        encoded = encode(message)
        read = decode(encoded.key, encoded.value, encoded.headers)
        assert isinstance(read, Message)
        self.log.append(read)
        self.platforms.append(self.platform.after(read))
        for step in self.steps:
            self._run(step, read)

    def _run(self, step: Step, message: Message) -> None:
        handler = step.handler(message)
        if handler is None:
            return
        task = TaskSpec("test", step.name, "platform", CONTROL.name, 0, ())
        codec: TypeAdapter[Any] = TypeAdapter(step.state)
        before = self.states[step.name]
        state, outputs = handler(before, message, Context(self.platform, NEVER_MS, task))
        again = handler(before, message, Context(self.platform, NEVER_MS, task))
        assert again == (state, outputs), "a handler is pure"
        self.states[step.name] = codec.validate_json(codec.dump_json(state))
        assert self.states[step.name] == state
        for ordinal, output in enumerate(outputs):
            assert isinstance(output, Publish)
            CONTROL.admit(output.event)
            event_id = derived_id(message.id, output.name, output.key, ordinal)
            self.outboxes[step.name].append(
                Message(event_id, step.name, output.time_ms, output.key, output.event, ordinal)
            )
