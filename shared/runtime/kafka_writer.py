"""Writing to Kafka: bounded, in order, and never silent about a failure."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from shared.runtime.kafka_clients.producer import Producer
from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_reader import reachable
from shared.runtime.kafka_records import content_of
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import Completion, Home, Ticket
from shared.runtime.log import (
    MAX_RECORD_BYTES,
    BrokerAway,
    FlushTimedOut,
    Headers,
    OnDone,
    RecordTooLarge,
    SendError,
    TopicMissing,
    TopicPartition,
    record_bytes,
)

MAX_IN_FLIGHT = 5_000
MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024
ROOM_WITHIN_S = 5.0
_SILENCE_S = 1.5


class KafkaWriter:
    """A Writer over an idempotent producer with `acks=all`.

    While nothing fails, the records of a log stand in it once each, in the order of `send`. At the first send that is
    not acknowledged for good (30 s, or an error that trying again does not mend) the producer is given up, and

    - every send in flight that was not reported as acknowledged before is reported with SendFailed, in one go;
    - nothing of it is put on the wire any more; what was on its way may still come to stand in the log, even between
      records that are sent afterwards;
    - the next `send` builds a new producer, with a new producer id.

    So whoever sends everything again behind the last acknowledged record, in order, gets at least one copy of each, and
    the first copies in order; repetitions are told by their sequence numbers. RecordTooLarge from `send` itself fails
    nothing but its record. Acknowledgements of different logs may be reported in another order than sent.

    At most MAX_IN_FLIGHT sends of MAX_IN_FLIGHT_BYTES together are in flight, for kafka-python's own buffer has no
    bound. There `send` first waits, and runs callbacks; a broker that makes no room in ROOM_WITHIN_S is away.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._home = Home()
        self._producer: Producer | None = None
        self._done: SimpleQueue[Completion] = SimpleQueue()
        self._told: deque[tuple[Ticket, int | None, SendError | None]] = deque()  # answered, callback not yet run
        self._tell: Callable[[], None] = lambda: None
        self._wires: dict[TopicPartition, WirePartition] = {}
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._heard_s = time.monotonic()

    def send(
        self, tp: TopicPartition, key: bytes | None, value: bytes | None, headers: Headers, on_done: OnDone
    ) -> None:
        """See Writer."""
        content = content_of(key, value, headers)
        # Weighed exactly only where it may be too much: for most records that would cost as much as their bytes.
        size = len(content) + 100
        if size > MAX_RECORD_BYTES // 2:
            size = record_bytes(key, value, headers)
        ticket = Ticket(tp, size, on_done)
        if size > MAX_RECORD_BYTES:
            self._count(ticket)
            self._told.append((ticket, None, RecordTooLarge(tp, size, MAX_RECORD_BYTES)))
            return
        self._make_room(size)
        wire = self._wires.get(tp)
        if wire is None:
            wire = self._wires[tp] = WirePartition(self._settings.topic_prefix + tp.topic, tp.partition)
        try:
            while not self._connected().put(wire, content, ticket):
                pass
        except TopicMissing:
            if not reachable(self._settings):
                raise BrokerAway(self._settings.bootstrap) from None
            raise
        if self._in_flight == 0:
            self._heard_s = time.monotonic()
        self._count(ticket)

    def in_flight(self) -> int:
        """Sends whose `on_done` has not run."""
        return self._in_flight

    def drain(self, timeout_s: float) -> None:
        """See Writer. A broker that went away is told after about two seconds; the sends stay in flight."""
        self._home.require()
        deadline_s = time.monotonic() + timeout_s
        while not self._report():
            left_s = deadline_s - time.monotonic()
            if self._in_flight == 0 or left_s <= 0:
                return
            try:
                self._take(self._done.get(timeout=min(left_s, 0.25)))
            except Empty:
                self._complain()

    def flush(self, timeout_s: float) -> None:
        """Drain until nothing is in flight."""
        deadline_s = time.monotonic() + timeout_s
        while self._in_flight:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise FlushTimedOut(self._in_flight, timeout_s)
            self.drain(left_s)

    def on_answers(self, tell: Callable[[], None]) -> None:
        """See Writer; it is called on kafka-python's sender thread."""
        self._tell = tell

    def close(self) -> None:
        """Give up what is in flight and give back connections and threads."""
        if self._producer is not None:
            self._producer.abandon()
            self._producer = None
        self._told.clear()
        self._in_flight = self._in_flight_bytes = 0

    def _make_room(self, size: int) -> None:
        deadline_s = time.monotonic() + ROOM_WITHIN_S
        while self._in_flight >= MAX_IN_FLIGHT or self._in_flight_bytes + size > MAX_IN_FLIGHT_BYTES:
            if time.monotonic() > deadline_s:
                raise BrokerAway(self._settings.bootstrap)
            self.drain(0.5)

    def _count(self, ticket: Ticket) -> None:
        self._in_flight += 1
        self._in_flight_bytes += ticket.size_bytes

    def _connected(self) -> Producer:
        self._home.require()
        if self._producer is not None and self._producer.failure is not None:
            self._producer.abandon()
            self._producer = None
        if self._producer is None:
            if not reachable(self._settings):
                raise BrokerAway(self._settings.bootstrap)
            self._producer = Producer(self._settings, self._finished)
        return self._producer

    def _finished(self, done: Completion) -> None:
        self._done.put(done)
        self._tell()

    def _report(self) -> bool:
        # Only what is there now: a callback may send, and what that completes belongs to the next round.
        for _ in range(self._done.qsize()):
            self._take(self._done.get())
        last = len(self._told)
        for _ in range(last):
            if not self._told:
                break  # a callback that waited for room has run the others
            ticket, offset, error = self._told.popleft()
            self._in_flight -= 1
            self._in_flight_bytes -= ticket.size_bytes
            ticket.on_done(offset, error)
        return last > 0

    def _take(self, done: Completion) -> None:
        self._heard_s = time.monotonic()
        if done.error is not None:
            self._told.extend((ticket, None, done.error) for ticket in done.tickets)
        else:
            self._told.extend((ticket, offset, None) for offset, ticket in enumerate(done.tickets, done.first))

    def _complain(self) -> None:
        now_s = time.monotonic()
        if now_s - self._heard_s > _SILENCE_S:
            self._heard_s = now_s
            if not reachable(self._settings):
                raise BrokerAway(self._settings.bootstrap)
