"""One model while one event is handled: what is decided is said, and counts from then on."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.registry.line import Line
from services.registry.replicas import Replicas
from shared.contracts.definitions import Model
from shared.contracts.envelope import Event


@dataclass(slots=True)
class Case:
    """`now_ms`: the newest tick of the model's clock, else the time of the event that is handled."""

    definition: Model
    now_ms: int
    line: Line
    replicas: Replicas
    events: list[Event] = field(default_factory=list[Event])

    @property
    def model(self) -> str:
        return self.definition.name

    def say(self, event: Event) -> None:
        """Publish an event of the registry's, and go on from it."""
        self.events.append(event)
        self.line = self.line.after(event)

    def change(self, **changes: object) -> None:
        """Note what no event says."""
        self.line = self.line.changed(**changes)

    def is_ready(self, version: int) -> bool:
        return self.replicas.all_in(self.line.ready.get(version, ()))
