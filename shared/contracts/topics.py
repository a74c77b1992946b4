"""Topics as typed values: which events may stand in them, how they are named, and how they are kept."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contracts import control, flow
from shared.contracts.envelope import Event
from shared.contracts.errors import HeadraceError


class WrongEvent(HeadraceError):
    """An event that does not belong into a topic."""

    def __init__(self, topic: str, event: Event) -> None:
        super().__init__(
            f"{type(event).__name__} does not belong into topic {topic}: publish it to the topic of its kind"
        )


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic by its full name, and what may be published to it."""

    name: str
    events: tuple[type[Event], ...]

    def admit(self, event: Event) -> None:
        """Raises WrongEvent for an event of another topic."""
        if not isinstance(event, self.events):
            raise WrongEvent(self.name, event)


@dataclass(frozen=True, slots=True)
class TopicFamily:
    """One topic for each source, view or model."""

    prefix: str
    events: tuple[type[Event], ...]

    def of(self, subject: str) -> Topic:
        return Topic(f"{self.prefix}.{subject}.v1", self.events)

    def subject(self, topic: str) -> str | None:
        """The source, view or model of a topic's name; None if it is not of this family."""
        head, tail = f"{self.prefix}.", ".v1"
        return topic[len(head) : -len(tail)] if topic.startswith(head) and topic.endswith(tail) else None


CONTROL = Topic(
    "control.v1",
    tuple(
        event
        for event in vars(control).values()
        if isinstance(event, type) and issubclass(event, Event) and event is not Event
    ),
)
REJECTED = Topic("records.rejected.v1", (flow.RecordRejected,))
INTAKE = TopicFamily("intake", (flow.IntakeRecord,))
RECORDS = TopicFamily("records", (flow.RecordAccepted,))
ENTITY = TopicFamily("entity", (flow.RecordRekeyed,))
SCORING = TopicFamily("scoring", (flow.InputsComputed,))
FEATURES = TopicFamily("features", (flow.WindowsChanged,))
PREDICTIONS = TopicFamily("predictions", (flow.PredictionMade,))
JOINS = TopicFamily("joins", (flow.PredictionMade, flow.LabelObserved))
OUTCOMES = TopicFamily(
    "outcomes",
    (flow.OutcomeScored, flow.OutcomeMatured, flow.RecordStreamed, flow.OutcomeRevised, flow.LabelUnused),
)


def dead_letters(service: str) -> str:
    """The topic that takes what a service's handlers could not: original key, value and headers."""
    return f"{service}.dead.v1"
