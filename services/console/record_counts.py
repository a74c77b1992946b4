"""What became of the records of each source, counted from the topics: each figure from its own, none from another."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.console.dead_letter_list import DeadLetters
from shared.contracts.envelope import Message
from shared.contracts.flow import RecordAccepted, RecordRejected
from shared.contracts.platform import Platform
from shared.contracts.topics import dead_letters
from shared.contracts.topology import Definitions
from shared.runtime.log import LogRecord

KEPT_REJECTED = 1_000


@dataclass(slots=True)
class SourceCounts:
    """`accepted` by the control position under which a record was accepted."""

    accepted: Counter[int] = field(default_factory=Counter[int])
    late: int = 0
    rejected: Counter[str] = field(default_factory=Counter[str])

    def accepted_since(self, position: int) -> int:
        """Records accepted under this control position or a later one."""
        return sum(count for at, count in self.accepted.items() if at >= position)


@dataclass(slots=True)
class RecordCounts:
    """By source; and the newest rejected records, each with its time."""

    sources: dict[str, SourceCounts] = field(default_factory=dict[str, SourceCounts])
    newest_rejected: deque[Message] = field(default_factory=lambda: deque(maxlen=KEPT_REJECTED))

    def of(self, source: str) -> SourceCounts:
        return self.sources.setdefault(source, SourceCounts())

    def accept(self, message: Message, record: RecordAccepted) -> None:
        counts = self.of(record.source)
        counts.accepted[message.control] += 1
        counts.late += record.late

    def reject(self, message: Message, record: RecordRejected) -> None:
        self.of(record.source).rejected[record.reason] += 1
        self.newest_rejected.append(message)


class RawCounts:
    """How many records stand in users' topics, and which dead letters. `counted` is only ever written by the driver."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}
        self.letters = DeadLetters()
        self._dead: frozenset[str] = frozenset()
        self._topics: tuple[Definitions | None, frozenset[str]] = (None, frozenset())

    def topics(self, platform: Platform) -> Iterable[str]:
        """Users' topics, and the dead letters of every service that has a task."""
        definitions = platform.definitions
        if definitions is not self._topics[0]:
            published = (source.topic_name for source in definitions.sources.values())
            self._dead = frozenset(dead_letters(task.service) for task in definitions.tasks)
            self._topics = (definitions, frozenset((*published, *self._dead)))
        return self._topics[1]

    def on_record(self, record: LogRecord) -> None:
        if record.topic in self._dead and not self.letters.take(record):
            return
        self.counted[record.topic] = self.counted.get(record.topic, 0) + 1
