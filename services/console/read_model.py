"""The console's read model of the data plane: follows the topics and counts what stands in each, by itself."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.console.control_story import ControlStory
from services.console.outcome_counts import OutcomeCounts
from services.console.record_counts import RecordCounts
from shared.contracts.envelope import Mark, Message
from shared.contracts.flow import PredictionMade, RecordAccepted, RecordRejected
from shared.contracts.platform import Platform
from shared.contracts.topics import OUTCOMES, PREDICTIONS, RECORDS, REJECTED
from shared.contracts.topology import Definitions
from shared.runtime.history import ControlHistory
from shared.runtime.log import TopicPartition

REMEMBERED_IDS = 200_000  # of events from outside, which a replica sends again after a lost acknowledgement


@dataclass(slots=True)
class PredictionCounts:
    """From `predictions.<model>`: streamed ones without and with an answer; requests over HTTP, and those answered."""

    before_first_model: int = 0
    scored: int = 0
    requests: int = 0
    answered_requests: int = 0
    by_version: Counter[int] = field(default_factory=Counter[int])

    def take(self, prediction: PredictionMade) -> None:
        answered = prediction.answered_by is not None
        if prediction.origin == "stream":
            self.scored += answered
            self.before_first_model += not answered
        else:
            self.requests += 1
            self.answered_requests += answered
        if prediction.answered_by is not None:
            self.by_version[prediction.answered_by] += 1


class ReadModel:
    """Written by the driver's thread, read by those of HTTP: whoever reads holds `lock`."""

    def __init__(self, history: ControlHistory) -> None:
        self.history = history
        self.lock = threading.RLock()
        self.records = RecordCounts()
        self.story = ControlStory(history)
        self._predictions: dict[str, PredictionCounts] = {}
        self._outcomes: dict[str, OutcomeCounts] = {}
        self._seen: dict[str, None] = {}
        self._topics: tuple[Definitions | None, frozenset[str]] = (None, frozenset())

    def predictions(self, model: str) -> PredictionCounts:
        return self._predictions.setdefault(model, PredictionCounts())

    def outcomes(self, model: str) -> OutcomeCounts:
        """The counts of a model's outcomes, as far as control.v1 explains them."""
        counts = self._outcomes.setdefault(model, OutcomeCounts())
        definition = self.history.newest.definitions.models.get(model)
        if definition is not None:
            counts.catch_up(definition, lambda version: self._classes(model, version))
        return counts

    # --- a follower

    def topics(self, platform: Platform) -> Iterable[str]:
        """Accepted and rejected records, predictions and outcomes, of whatever is defined."""
        definitions = platform.definitions
        if definitions is not self._topics[0]:
            records = (RECORDS.of(name).name for name in definitions.sources)
            models = (family.of(name).name for name in definitions.models for family in (PREDICTIONS, OUTCOMES))
            rejected = (REJECTED.name,) if definitions.sources else ()
            self._topics = (definitions, frozenset((*records, *models, *rejected)))
        return self._topics[1]

    def on_message(self, tp: TopicPartition, message: Message) -> None:
        with self.lock:
            if message.sequence is None and not self._is_new(message.id):
                return
            match message.event:
                case RecordAccepted() as record:
                    self.records.accept(message, record)
                case RecordRejected() as record:
                    self.records.reject(message, record)
                case PredictionMade() as prediction:
                    self.predictions(prediction.model).take(prediction)
                case _:
                    self._take_outcome(OUTCOMES.subject(tp.topic), message)

    def on_mark(self, tp: TopicPartition, mark: Mark) -> None:
        """Marks change no count."""

    def _take_outcome(self, model: str | None, message: Message) -> None:
        definition = self.history.newest.definitions.models.get(model or "")
        if definition is not None:
            counts = self._outcomes.setdefault(definition.name, OutcomeCounts())
            counts.take(message, definition, lambda version: self._classes(definition.name, version))

    def _classes(self, model: str, version: int) -> Sequence[str] | None:
        state = self.history.newest.model(model).versions.get(version)
        return None if state is None else state.classes

    def _is_new(self, event_id: str) -> bool:
        if event_id in self._seen:
            return False
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED_IDS:
            del self._seen[next(iter(self._seen))]
        return True
