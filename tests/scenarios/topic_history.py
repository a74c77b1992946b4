"""What the topics hold, and what of it counts: the evidence for every invariant, of a simulation or of a Kafka run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from shared.contracts.envelope import Encoded, Event, Mark, Message, decode, encode, origin
from shared.contracts.errors import UnreadableEvent
from shared.contracts.platform import Platform
from shared.contracts.topics import CONTROL, dead_letters
from shared.contracts.topology import Definitions
from shared.runtime.history import ControlHistory
from shared.runtime.log import Broker, LogRecord, TopicPartition
from shared.runtime.memory_log import MemoryBroker
from shared.runtime.to_the_end import to_the_end

E = TypeVar("E", bound=Event)
CONTROL_TP = TopicPartition(CONTROL.name, 0)
LETTERS = dead_letters("")


@dataclass(frozen=True, slots=True)
class Read:
    """An event that readers accept, and where it stands. `position` (control.v1 only) is when it came into force."""

    tp: TopicPartition
    offset: int
    message: Message

    @property
    def position(self) -> int:
        return self.offset + 1


class TopicHistory:
    """Every log from its beginning. What counts is computed here once more, from the rule, for each log.

    `stamped_on_arrival`: timestamps are of one clock, that of the broker when a record came to stand in its log, so
    that they tell what stood there before what. On Kafka they are those of the writers.
    """

    def __init__(self, logs: Mapping[TopicPartition, Sequence[LogRecord]], *, stamped_on_arrival: bool = False) -> None:
        self.logs = {tp: list(records) for tp, records in logs.items()}
        self.stamped_on_arrival = stamped_on_arrival
        self._accepted: dict[TopicPartition, list[Read]] = {}
        self._entries: dict[TopicPartition, list[tuple[LogRecord, Message | Mark | None]]] = {}

    @classmethod
    def of_memory(cls, broker: MemoryBroker) -> TopicHistory:
        """All logs of a broker in memory."""
        admin = broker.admin()
        tps = [TopicPartition(t, p) for t in sorted(admin.topics()) for p in range(admin.partitions(t) or 0)]
        return cls({tp: broker.history(tp) for tp in tps}, stamped_on_arrival=True)

    @classmethod
    def read(cls, broker: Broker, silent_s: float = 60.0) -> TopicHistory:
        """All logs of a cluster, read to the ends that they have now. Raises TimeoutError."""
        admin, reader = broker.admin(), broker.reader()
        try:
            tps = [TopicPartition(t, p) for t in sorted(admin.topics()) for p in range(admin.partitions(t) or 0)]
            reader.assign({tp: reader.beginning(tp) for tp in tps})
            logs: dict[TopicPartition, list[LogRecord]] = {tp: [] for tp in tps}
            for tp, records in to_the_end(reader, tps, silent_s=silent_s):
                logs[tp] += records
            return cls(logs)
        finally:
            reader.close()
            admin.close()

    # --- the control log

    @cached_property
    def control(self) -> ControlHistory:
        known = ControlHistory()
        for record in self.logs.get(CONTROL_TP, ()):
            known.append(record)
        return known

    @property
    def newest(self) -> Platform:
        return self.control.newest

    @property
    def definitions(self) -> Definitions:
        return self.newest.definitions

    def decided(self, *kinds: type[E]) -> Iterator[tuple[Read, E]]:
        """The events of control.v1 that count, in their order."""
        for offset, entry in enumerate(self.control.entries):
            if entry.message is not None and isinstance(entry.message.event, kinds):
                yield Read(CONTROL_TP, offset, entry.message), entry.message.event

    # --- the other logs

    def partitions(self, topic: str) -> list[TopicPartition]:
        return sorted(tp for tp in self.logs if tp.topic == topic)

    def accepted(self, tp: TopicPartition) -> list[Read]:
        """What a reader of the log from its beginning accepts; of events from outside the first of each id."""
        if tp not in self._accepted:
            self._accepted[tp] = list(self._accept(tp))
        return self._accepted[tp]

    def _accept(self, tp: TopicPartition) -> Iterator[Read]:
        # Not by the product's own rule of acceptance: were that wrong, it would be wrong here alike.
        records = self.logs.get(tp, [])
        whole = not records or records[0].offset == 0
        last: dict[str, int] = {}
        outside: set[str] = set()
        for record, entry in self.read_entries(tp):
            if isinstance(entry, Mark):
                continue
            wrote = origin(record.headers) if entry is None else entry
            if wrote is None:
                continue
            if wrote.sequence is not None:
                # Where the beginning has expired, the first number of a task that is met is the baseline.
                if wrote.sequence != last.get(wrote.source, 0 if whole else wrote.sequence - 1) + 1:
                    continue
                last[wrote.source] = wrote.sequence
            elif entry is None or entry.replay_for is not None or entry.id in outside:
                continue
            else:
                outside.add(entry.id)
            if entry is not None:
                yield Read(tp, record.offset, entry)

    def events(self, topic: str, *kinds: type[E]) -> Iterator[tuple[Read, E]]:
        """Accepted events of these kinds in all partitions of a topic."""
        for tp in self.partitions(topic):
            for read in self.accepted(tp):
                if isinstance(read.message.event, kinds):
                    yield read, read.message.event

    def entries(self, tp: TopicPartition) -> Iterator[tuple[LogRecord, Message | Mark]]:
        """Everything in a log that can be read, repetitions and all."""
        return ((record, entry) for record, entry in self.read_entries(tp) if entry is not None)

    def read_entries(self, tp: TopicPartition) -> list[tuple[LogRecord, Message | Mark | None]]:
        """Everything in a log, None where it cannot be read."""
        if tp not in self._entries:
            self._entries[tp] = [(record, _entry(record)) for record in self.logs.get(tp, [])]
        return self._entries[tp]

    @cached_property
    def replays(self) -> list[Read]:
        """Replayed dead letters, in whichever log but those of letters: each once, however often it was sent."""
        found: dict[str, Read] = {}
        for tp in sorted(tp for tp in self.logs if not tp.topic.endswith(LETTERS)):
            for record, entry in self.read_entries(tp):
                if isinstance(entry, Message) and entry.replay_for is not None:
                    found.setdefault(entry.id, Read(tp, record.offset, entry))
        return list(found.values())

    # --- damage, for the tests of the checker

    def with_event(self, read: Read, event: Event, **envelope: int | str) -> TopicHistory:
        """The same history with another event (or envelope) in the place of one, in every copy of it."""

        wanted = read.message.id.encode()
        encoded = encode(read.message._replace(event=event, **envelope))
        return self._edited(read.tp, encoded, lambda record: dict(record.headers).get("ce_id") == wanted)

    def with_entry(self, entry: LogRecord, encoded: Encoded) -> TopicHistory:
        """The same history with something else in the place of an entry, in every copy of it."""
        wanted = (entry.key, entry.value, entry.headers)
        tp = TopicPartition(entry.topic, entry.partition)
        return self._edited(tp, encoded, lambda record: (record.key, record.value, record.headers) == wanted)

    def _edited(self, tp: TopicPartition, to: Encoded, where: Callable[[LogRecord], bool]) -> TopicHistory:
        def edited(record: LogRecord) -> LogRecord:
            return record._replace(key=to.key, value=to.value, headers=to.headers) if where(record) else record

        return self._with_log(tp, [edited(record) for record in self.logs[tp]])

    def with_more(self, tp: TopicPartition, encoded: Iterable[Encoded]) -> TopicHistory:
        """The same history with further entries at the end of one log."""
        log = list(self.logs[tp])
        for one in encoded:
            log.append(LogRecord(tp.topic, tp.partition, len(log), 0, one.key, one.value, one.headers))
        return self._with_log(tp, log)

    def without_last(self, tp: TopicPartition, read: Read) -> TopicHistory:
        """The same history with one log cut before an entry."""
        return self._with_log(tp, [record for record in self.logs[tp] if record.offset < read.offset])

    def _with_log(self, tp: TopicPartition, log: list[LogRecord]) -> TopicHistory:
        other = TopicHistory({**self.logs, tp: log}, stamped_on_arrival=self.stamped_on_arrival)
        other._accepted = {kept: reads for kept, reads in self._accepted.items() if kept != tp}
        other._entries = {kept: entries for kept, entries in self._entries.items() if kept != tp}
        if tp != CONTROL_TP:
            other.control = self.control
        return other


def _entry(record: LogRecord) -> Message | Mark | None:
    try:
        return decode(record.key, record.value, record.headers)
    except UnreadableEvent:
        return None
