"""A control log that says what a test wants, and the read model over it."""

from __future__ import annotations

from services.console.read_model import ReadModel
from shared.contracts.envelope import Event, encode
from shared.contracts.topics import CONTROL
from shared.runtime.history import ControlHistory
from shared.runtime.log import LogRecord, TopicPartition
from tests import builders as b


class ControlLog:
    """`history` after `said` events, each accepted; the first two found the platform and declare the default model."""

    def __init__(self, *events: Event) -> None:
        self.history = ControlHistory()
        self.model = ReadModel(self.history)
        self.say(b.founded(), b.applied(), *events)

    def say(self, *events: Event) -> int:
        """Append events; the control position after them."""
        for event in events:
            offset = self.history.position
            encoded = encode(b.message(event, source=f"test/{offset}"))
            self.history.append(
                LogRecord(CONTROL.name, 0, offset, b.T0_MS, encoded.key, encoded.value, tuple(encoded.headers))
            )
        return self.history.position

    def take(self, topic: str, *events: Event, control: int = 2, time_ms: int = b.T0_MS, outside: bool = False) -> None:
        """Let the read model see events of a data topic."""
        for event in events:
            message = b.message(event, control=control, time_ms=time_ms, sequence=None if outside else 1)
            self.model.on_message(TopicPartition(topic, 0), message)
