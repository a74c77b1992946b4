"""The ports to a partitioned log: what a driver asks of Kafka, of the embedded broker and of the log in memory.

Positions are offsets of the *next* record. Times are milliseconds since the epoch, waits are seconds. No port is
thread-safe: each object belongs to the thread that uses it.

LogError
 ├─ BrokerAway          nothing answers at the bootstrap address; everything goes on when it comes back
 ├─ AccessDenied        the broker answers, but does not let us do this
 ├─ OffsetOutOfRange    the position asked for is not in this log (expired, or it belongs to another log)
 ├─ TopicMissing        the broker answers, but has no such topic or partition
 ├─ TopicRefused        the broker will not create the topic
 ├─ Forked              the port was made by another process, of which this one is a fork
 ├─ FlushTimedOut       sends were still unanswered when the time was up; they stay in flight
 └─ SendError           one send was not acknowledged (handed to `on_done`, never raised)
     ├─ RecordTooLarge  it never will be: the record itself is too large
     └─ SendFailed      it, or a send before it, failed; it may stand in the log all the same
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes]]
MAX_RECORD_BYTES = 1_000_000  # below the 1,048,588 that Apache Kafka takes unless it is told otherwise


class TopicPartition(NamedTuple):
    """A log: one partition of one topic. The topic's name is ours, without the prefix of the cluster."""

    topic: str
    partition: int


class LogRecord(NamedTuple):
    """One record as it stands in the log; `timestamp_ms` is the broker's or the producer's, as the topic says."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class DamagedBatch:
    """A fact: offsets [first, following) of a log could not be read and were passed over."""

    topic: str
    partition: int
    first: int
    following: int
    reason: str


class LogError(Exception):
    """What can go wrong between a service and its log."""


class BrokerAway(LogError):
    """Nothing answers at `bootstrap`; with `signing_in`, something listens there and hangs up while we sign in; with
    `handshake` it takes a connection and fails at TLS: which address, and how."""

    def __init__(self, bootstrap: str, *, signing_in: bool = False, handshake: str = "") -> None:
        if handshake:
            said = (
                f"No TLS connection to {handshake}. Most often what listens there speaks no TLS: check the port in "
                "HEADRACE_KAFKA_BOOTSTRAP, and HEADRACE_KAFKA_SECURITY_PROTOCOL; where brokers ask for a certificate "
                "of ours, HEADRACE_KAFKA_SSL_CERTFILE"
            )
        elif signing_in:
            said = (
                f"What listens at {bootstrap} hangs up while we sign in. Most often the user or the password is wrong: "
                "check HEADRACE_KAFKA_SASL_USERNAME, HEADRACE_KAFKA_SASL_PASSWORD and HEADRACE_KAFKA_SASL_MECHANISM"
            )
        else:
            said = (
                f"No Kafka broker answers at {bootstrap}. Start it, or set HEADRACE_KAFKA_BOOTSTRAP to where it listens"
            )
        super().__init__(f"{said}.")
        self.bootstrap = bootstrap


class AccessDenied(LogError):
    """The broker refuses who we say we are, or what we ask for."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The Kafka broker denied access: {reason}. Check HEADRACE_KAFKA_SASL_USERNAME, "
            "HEADRACE_KAFKA_SASL_PASSWORD and the rights of that user, or with TLS HEADRACE_KAFKA_SSL_CAFILE."
        )
        self.reason = reason


class OffsetOutOfRange(LogError):
    """Position `asked` is outside [beginning, end] of the log; None stands for what the broker would not say."""

    def __init__(self, tp: TopicPartition, asked: int, beginning: int | None, end: int | None) -> None:
        super().__init__(
            f"Offset {asked} of {tp.topic}/{tp.partition} does not exist: that log holds {beginning} to {end}. "
            "The state that asks for it was made beside another log, or the log's beginning has expired; "
            "restore a newer copy of the state, or start with empty state."
        )
        self.tp, self.asked, self.beginning, self.end = tp, asked, beginning, end


class TopicMissing(LogError):
    """The broker has no such topic, or the topic has no such partition."""

    def __init__(self, tp: TopicPartition) -> None:
        super().__init__(
            f"The broker has no partition {tp.partition} of topic {tp.topic}. "
            "The service that writes a topic creates it: start that service, or apply the definition that declares it."
        )
        self.tp = tp


class TopicRefused(LogError):
    """The broker refused to create `topic`."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(
            f"The broker would not create topic {topic}: {reason}. "
            "Mend the definition, the broker's rights, or HEADRACE_KAFKA_REPLICATION_FACTOR."
        )
        self.topic, self.reason = topic, reason


class Forked(LogError):
    """A port was used in a fork of the process that made it."""

    def __init__(self, made_in: int, used_in: int) -> None:
        super().__init__(
            f"A connection to Kafka made in process {made_in} is used in process {used_in}, a fork of it: its threads "
            "and locks did not come along, so it would hang. Make readers, writers and admins after the fork."
        )


class FlushTimedOut(LogError):
    """`pending` sends were not answered within `timeout_s`; they stay in flight."""

    def __init__(self, pending: int, timeout_s: float) -> None:
        super().__init__(
            f"{pending} sends were not acknowledged within {timeout_s} s; drain again, or close to give up."
        )
        self.pending, self.timeout_s = pending, timeout_s


class SendError(LogError):
    """A send that was not acknowledged."""


class RecordTooLarge(SendError):
    """The record exceeds what we take, or, with no `limit_bytes`, what the broker takes; it will never fit."""

    def __init__(self, tp: TopicPartition, size_bytes: int, limit_bytes: int | None) -> None:
        limit = f"the limit of {limit_bytes}" if limit_bytes else "what the broker takes for that topic"
        super().__init__(
            f"A record of {size_bytes} bytes for {tp.topic}/{tp.partition} exceeds {limit}; "
            "send a reference to it instead."
        )
        self.tp, self.size_bytes, self.limit_bytes = tp, size_bytes, limit_bytes


class SendFailed(SendError):
    """This send, or an earlier one of the same writer, failed. The record may stand in the log all the same."""

    def __init__(self, tp: TopicPartition, reason: str) -> None:
        super().__init__(
            f"A send to {tp.topic}/{tp.partition} was not acknowledged: {reason}. "
            "Send everything that was not acknowledged again, in order."
        )
        self.tp, self.reason = tp, reason


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """What a record weighs against a limit of bytes, with the frame of a batch of its own, rounded up."""
    size = len(key or b"") + len(value or b"") + 100
    for name, data in headers:
        size += len(name.encode()) + len(data) + 10
    return size


OnDone = Callable[[int | None, SendError | None], None]


class Reader(Protocol):
    """Reads a set of logs from given positions, without a consumer group."""

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these logs from now on: new ones from the offset given, those kept from where they are."""
        ...

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on at `offset`; what was fetched but not yet polled is dropped."""
        ...

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        """Return nothing of these logs until resumed; their positions stay."""
        ...

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        """Undo `pause`."""
        ...

    def poll(self, timeout_s: float, max_records: int) -> dict[TopicPartition, list[LogRecord]]:
        """Up to `max_records`, in the order of each log; empty after `timeout_s` or as soon as an end is proved.

        Raises BrokerAway, OffsetOutOfRange or TopicMissing; after any of them polling again is allowed.
        """
        ...

    def position(self, tp: TopicPartition) -> int:
        """The offset of the next record that `poll` will return."""
        ...

    def end(self, tp: TopicPartition) -> int | None:
        """The high watermark that the newest fetch showed; None before the first answer."""
        ...

    def beginning(self, tp: TopicPartition) -> int:
        """The offset at which the log begins. Raises BrokerAway or TopicMissing."""
        ...

    def fetch_token(self) -> int:
        """Names this moment for `end_reached_since`."""
        ...

    def end_reached_since(self, tp: TopicPartition, token: int) -> bool:
        """Whether everything that the log held when `token` was taken has been returned by `poll`.

        True once a fetch that began after the token has been answered for `tp`, and the position has come to the high
        watermark of that answer. A fetch that was already on its way does not count.
        """
        ...

    def take_damaged(self) -> list[DamagedBatch]:
        """The batches passed over since the last call."""
        ...

    def take_interrupted(self) -> bool:
        """Whether since the last call reading was interrupted: a topic may have gone and come again meanwhile."""
        ...

    def busy(self) -> None:
        """Hint: something is expected soon; ask the broker often, whatever it costs."""
        ...

    def idle(self) -> None:
        """Take `busy` back."""
        ...

    def wake(self) -> None:
        """From any thread: the `poll` that waits returns, or the next one does at once."""
        ...

    def close(self) -> None:
        """Give back connections and threads."""
        ...


class Writer(Protocol):
    """Appends records. See KafkaWriter for what holds after a failure."""

    def send(
        self, tp: TopicPartition, key: bytes | None, value: bytes | None, headers: Headers, on_done: OnDone
    ) -> None:
        """Take a record; `on_done(offset, None)` or `on_done(None, error)` follows exactly once.

        Callbacks run on the caller's thread: inside `drain` and `flush`, and inside `send` when it waits for room.
        Raises BrokerAway or TopicMissing; then nothing was taken and `on_done` is not called for this record.
        """
        ...

    def in_flight(self) -> int:
        """Sends whose `on_done` has not run."""
        ...

    def drain(self, timeout_s: float) -> None:
        """Run the callbacks that are due; if none is, wait up to `timeout_s` for the first. Raises BrokerAway."""
        ...

    def flush(self, timeout_s: float) -> None:
        """Drain until nothing is in flight. Raises FlushTimedOut or BrokerAway."""
        ...

    def on_answers(self, tell: Callable[[], None]) -> None:
        """Call this whenever callbacks have become due, from whichever thread learns of it."""
        ...

    def close(self) -> None:
        """Give up what is in flight (no callback runs) and give back connections and threads."""
        ...


class Admin(Protocol):
    """Topics: which there are, and new ones."""

    def partitions(self, topic: str) -> int | None:
        """Number of partitions, or None if there is no such topic. Raises BrokerAway."""
        ...

    def create(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic; one that exists is left as it is. Raises BrokerAway or TopicRefused."""
        ...

    def topics(self) -> frozenset[str]:
        """The topics under our prefix, without it. Raises BrokerAway."""
        ...

    def topic_id(self, topic: str) -> str | None:
        """Tells a topic from one that was deleted and had its name; None if there is none, or the broker has no ids.

        Raises BrokerAway.
        """
        ...

    def settings(self, topic: str) -> Mapping[str, str]:
        """The settings in force for a topic, as far as the broker tells them. Raises BrokerAway or AccessDenied."""
        ...

    def close(self) -> None:
        """Give back connections and threads."""
        ...


class Broker(Protocol):
    """Where readers, writers and the admin of one cluster come from. Nothing connects before its first use."""

    def reader(self) -> Reader: ...

    def writer(self) -> Writer: ...

    def admin(self) -> Admin: ...
