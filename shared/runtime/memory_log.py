"""A broker in memory behind the same ports: single-threaded, without a clock, the same every time.

The simulation runs on it. Whoever drives it decides the fate of each send, so that answers get lost, sends fail, and
records come to stand in the log long after their writer has given up on them, as they may with Kafka.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.runtime.end_proof import EndProof
from shared.runtime.log import (
    MAX_RECORD_BYTES,
    BrokerAway,
    DamagedBatch,
    FlushTimedOut,
    Headers,
    LogRecord,
    OffsetOutOfRange,
    OnDone,
    RecordTooLarge,
    SendError,
    SendFailed,
    TopicMissing,
    TopicPartition,
    TopicRefused,
    record_bytes,
)

BOOTSTRAP = "memory"


class Fate(StrEnum):
    """What becomes of a send."""

    DELIVER = "deliver"
    REPEAT = "repeat"  # it stands in the log twice
    LOSE_ACK = "lose_ack"  # it stands in the log, and its writer is told that it failed
    FAIL = "fail"  # it does not, and its writer is told so
    DELAY = "delay"  # it waits, and what follows it into that log waits behind it, until `release`


FateOf = Callable[[TopicPartition, bytes | None, bytes | None], Fate]


def _deliver(_tp: TopicPartition, _key: bytes | None, _value: bytes | None) -> Fate:
    return Fate.DELIVER


@dataclass(slots=True)
class _Log:
    beginning: int = 0
    records: list[LogRecord] = field(default_factory=list)
    expired: list[LogRecord] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.beginning + len(self.records)


@dataclass(slots=True)
class _Send:
    tp: TopicPartition
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    on_done: OnDone
    offset: int | None = None
    error: SendError | None = None


# Writer, its generation, the log: the records of one lane keep their order.
Lane = tuple[int, int, TopicPartition]


class MemoryBroker:
    """Topics in memory. `now_ms` stamps records; `away` makes every port raise BrokerAway, and loses nothing."""

    def __init__(self, now_ms: Callable[[], int] = lambda: 0) -> None:
        self._now_ms = now_ms
        self._topics: dict[str, list[_Log]] = {}
        self.settings: dict[str, dict[str, str]] = {}
        self.made: dict[str, int] = {}  # how often a topic of this name was created
        self.deleted = 0
        self._delayed: dict[Lane, deque[_Send]] = {}
        self._writers = 0
        self.away = False

    def reader(self) -> MemoryReader:
        """A new reader."""
        return MemoryReader(self)

    def writer(self, fate_of: FateOf = _deliver) -> MemoryWriter:
        """A new writer; `fate_of(log, key, value)` is asked once for each send."""
        self._writers += 1
        return MemoryWriter(self, self._writers, fate_of)

    def admin(self) -> MemoryAdmin:
        """A new admin."""
        return MemoryAdmin(self)

    def lanes(self) -> list[Lane]:
        """Where delayed sends wait, in the order in which the first of each was sent."""
        return list(self._delayed)

    def delays(self, lane: Lane) -> bool:
        """Whether sends wait in this lane."""
        return lane in self._delayed

    def release(self, lane: Lane) -> None:
        """Let the oldest delayed send of a lane come to stand in its log."""
        waiting = self._delayed[lane]
        send = waiting.popleft()
        if not waiting:
            del self._delayed[lane]
        send.offset = self.append(send.tp, send.key, send.value, send.headers)

    def expire(self, tp: TopicPartition, beginning: int) -> None:
        """Forget the records below `beginning`, as retention does."""
        log = self.log(tp)
        keep = min(max(beginning, log.beginning), log.end)
        log.expired += log.records[: keep - log.beginning]
        del log.records[: keep - log.beginning]
        log.beginning = keep

    def delete(self, topic: str) -> None:
        """Forget a topic and all that stood in it."""
        del self._topics[topic], self.settings[topic]
        self.deleted += 1

    def append(self, tp: TopicPartition, key: bytes | None, value: bytes | None, headers: Headers) -> int:
        """Put a record at the end of a log; its offset. Raises TopicMissing."""
        log = self.log(tp)
        record = LogRecord(tp.topic, tp.partition, log.end, self._now_ms(), key, value, tuple(headers))
        log.records.append(record)
        return record.offset

    def history(self, tp: TopicPartition) -> list[LogRecord]:
        """All records that ever stood in a log, oldest first: what has expired too, which no reader gets any more."""
        log = self.log(tp)
        return [*log.expired, *log.records]

    def log(self, tp: TopicPartition) -> _Log:
        """The log itself. Raises TopicMissing."""
        logs = self._topics.get(tp.topic, [])
        if not 0 <= tp.partition < len(logs):
            raise TopicMissing(tp)
        return logs[tp.partition]

    def require(self) -> dict[str, list[_Log]]:
        """The topics. Raises BrokerAway."""
        if self.away:
            raise BrokerAway(BOOTSTRAP)
        return self._topics

    def delay(self, lane: Lane, send: _Send) -> None:
        """Keep a send back until `release`."""
        self._delayed.setdefault(lane, deque()).append(send)


class MemoryAdmin:
    """Admin of a MemoryBroker."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def partitions(self, topic: str) -> int | None:
        """Number of partitions, or None if there is no such topic."""
        logs = self._broker.require().get(topic)
        return None if logs is None else len(logs)

    def create(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic; one that exists is left as it is. `config` is told again, and has no effect in memory."""
        topics = self._broker.require()
        if partitions < 1:
            raise TopicRefused(topic, f"{partitions} partitions")
        if topic not in topics:
            topics[topic] = [_Log() for _ in range(partitions)]
            self._broker.made[topic] = self._broker.made.get(topic, 0) + 1
        self._broker.settings.setdefault(topic, dict(config))

    def topics(self) -> frozenset[str]:
        """All topics."""
        return frozenset(self._broker.require())

    def topic_id(self, topic: str) -> str | None:
        """Tells a topic from one that was deleted and had its name."""
        return f"{topic} {self._broker.made[topic]}" if topic in self._broker.require() else None

    def settings(self, topic: str) -> Mapping[str, str]:
        """What the topic was created with, or was set to since."""
        self._broker.require()
        return self._broker.settings.get(topic, {})

    def close(self) -> None:
        """Nothing to give back."""


class MemoryReader:
    """Reader of a MemoryBroker. `poll` never waits; each poll is one fetch of every log that is not paused."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._proof = EndProof()
        self._deleted = broker.deleted

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these logs: new ones from the offset given, those kept from where they are."""
        for tp in self._positions.keys() - positions.keys():
            self._proof.forget(tp)
            self._paused.discard(tp)
        self._positions = {tp: self._positions.get(tp, positions[tp]) for tp in positions}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on at `offset`."""
        self._require(tp)
        self._positions[tp] = offset
        self._proof.forget(tp)

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        """Return nothing of these logs until resumed."""
        for tp in tps:
            self._require(tp)
            self._paused.add(tp)

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        """Undo `pause`."""
        for tp in tps:
            self._require(tp)
            self._paused.discard(tp)

    def poll(self, timeout_s: float, max_records: int) -> dict[TopicPartition, list[LogRecord]]:
        """Up to `max_records`, log by log; the log that was read goes to the back of the line."""
        self._broker.require()
        fetch = self._proof.fetch_sent()
        found: dict[TopicPartition, list[LogRecord]] = {}
        wanted = [tp for tp in self._positions if tp not in self._paused]
        for tp in wanted:
            self._must_hold(tp)  # before anything is taken: an error must not swallow what other logs gave
        for tp in wanted:
            taken = self._take(tp, fetch, max_records)
            if taken:
                found[tp] = taken
                max_records -= len(taken)
        for tp in found:
            self._positions[tp] = self._positions.pop(tp)
        return found

    def _take(self, tp: TopicPartition, fetch: int, max_records: int) -> list[LogRecord]:
        log = self._broker.log(tp)
        position = self._positions[tp]
        start = position - log.beginning
        taken = log.records[start : start + max_records]
        self._positions[tp] = position + len(taken)
        self._proof.answered(tp, fetch, log.end)
        self._proof.moved(tp, self._positions[tp])
        return taken

    def _must_hold(self, tp: TopicPartition) -> None:
        log, position = self._broker.log(tp), self._positions[tp]
        if not log.beginning <= position <= log.end:
            raise OffsetOutOfRange(tp, position, log.beginning, log.end)

    def position(self, tp: TopicPartition) -> int:
        """The offset of the next record that `poll` will return."""
        self._require(tp)
        return self._positions[tp]

    def end(self, tp: TopicPartition) -> int | None:
        """The end that the newest poll saw."""
        return self._proof.end(tp)

    def beginning(self, tp: TopicPartition) -> int:
        """The offset at which the log begins."""
        self._broker.require()
        return self._broker.log(tp).beginning

    def fetch_token(self) -> int:
        """Names this moment."""
        return self._proof.token()

    def end_reached_since(self, tp: TopicPartition, token: int) -> bool:
        """See Reader."""
        return self._proof.reached_since(tp, token)

    def take_damaged(self) -> list[DamagedBatch]:
        """Memory does not rot."""
        return []

    def take_interrupted(self) -> bool:
        """Whether topics were deleted since the last call."""
        before, self._deleted = self._deleted, self._broker.deleted
        return self._deleted > before

    def busy(self) -> None:
        """No waits to shorten."""

    def idle(self) -> None:
        """No waits to lengthen."""

    def wake(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing to give back."""

    def _require(self, tp: TopicPartition) -> None:
        if tp not in self._positions:
            raise KeyError(f"{tp.topic}/{tp.partition} is not read here; assign it first")


class MemoryWriter:
    """Writer of a MemoryBroker, with KafkaWriter's guarantees after a failure."""

    def __init__(self, broker: MemoryBroker, number: int, fate_of: FateOf) -> None:
        self._broker = broker
        self._number = number
        self._fate_of = fate_of
        self._generation = 0
        self._sends: list[_Send] = []

    def send(
        self, tp: TopicPartition, key: bytes | None, value: bytes | None, headers: Headers, on_done: OnDone
    ) -> None:
        """See Writer; the fate is decided now, and told by `drain`."""
        self._broker.require()
        self._broker.log(tp)
        send = _Send(tp, key, value, tuple(headers), on_done)
        size = record_bytes(key, value, headers)
        self._sends.append(send)
        if size > MAX_RECORD_BYTES:
            send.error = RecordTooLarge(tp, size, MAX_RECORD_BYTES)
            return
        self._meet(send, self._fate_of(tp, key, value))

    def _meet(self, send: _Send, fate: Fate) -> None:
        lane = (self._number, self._generation, send.tp)
        if fate in (Fate.LOSE_ACK, Fate.FAIL):
            if fate is Fate.LOSE_ACK:
                self._broker.append(send.tp, send.key, send.value, send.headers)
            self._fail(f"{fate} was injected")
        elif fate is Fate.DELAY or self._broker.delays(lane):
            self._broker.delay(lane, send)
        else:
            send.offset = self._broker.append(send.tp, send.key, send.value, send.headers)
            if fate is Fate.REPEAT:
                self._broker.append(send.tp, send.key, send.value, send.headers)

    def _fail(self, reason: str) -> None:
        self._generation += 1
        for send in self._sends:
            if send.offset is None and send.error is None:
                send.error = SendFailed(send.tp, reason)

    def in_flight(self) -> int:
        """Sends whose `on_done` has not run."""
        return len(self._sends)

    def drain(self, timeout_s: float) -> None:
        """Run the callbacks that are due; never waits."""
        self._broker.require()
        due = [send for send in self._sends if send.offset is not None or send.error is not None]
        self._sends = [send for send in self._sends if send.offset is None and send.error is None]
        for send in due:
            send.on_done(send.offset if send.error is None else None, send.error)

    def flush(self, timeout_s: float) -> None:
        """Drain; what is delayed stays in flight and raises FlushTimedOut."""
        self.drain(timeout_s)
        while any(send.offset is not None or send.error is not None for send in self._sends):
            self.drain(timeout_s)
        if self._sends:
            raise FlushTimedOut(len(self._sends), timeout_s)

    def on_answers(self, tell: Callable[[], None]) -> None:
        """Answers are there when `send` returns, or come with `drain`."""

    def close(self) -> None:
        """Give up what is in flight; what is delayed may still come to stand in its log."""
        self._sends.clear()
