"""An idempotent producer that ends with its first failure, so that what comes after it never overtakes what failed."""
# The stubs are of kafka-python 2.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import kafka.errors as kafka_errors
from kafka import KafkaProducer

from shared.runtime.kafka_clients.accumulator import Accumulator
from shared.runtime.kafka_clients.connection import BLOCK_MS, build, never_create_topics
from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import Completion, Ticket
from shared.runtime.log import RecordTooLarge, SendError, SendFailed, TopicMissing

_log = logging.getLogger(__name__)

_DELIVERY_TIMEOUT_MS = 30_000


def _lost_offset(_: int) -> Exception:
    """Of a repetition that the broker refused as such, after its first answer was lost: it says no offset then."""
    return kafka_errors.DuplicateSequenceNumberError("it stands in the log, the offset is lost")


class Producer(KafkaProducer):
    """One generation of an idempotent producer: its first failure is its end.

    From the failure on it puts nothing more on the wire, and every send not yet acknowledged is completed with
    SendFailed, even if an acknowledgement comes later. `done` is called on kafka-python's sender thread.
    """

    def __init__(self, settings: KafkaSettings, done: Callable[[Completion], None]) -> None:
        self.failure: SendFailed | None = None
        self._bootstrap = settings.bootstrap
        self._done = done
        build(
            settings,
            super().__init__,
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            batch_size=256 * 1024,
            max_request_size=4 * 1024 * 1024,
            delivery_timeout_ms=_DELIVERY_TIMEOUT_MS,
            max_block_ms=BLOCK_MS,
            metrics_enabled=False,
        )
        never_create_topics(self._metadata)
        # The sender thread runs with this object by now: it stays, and becomes one of ours.
        self._accumulator.__class__ = Accumulator
        self._accumulator.finished = self._finished

    def put(self, wire: WirePartition, content: bytes, ticket: Ticket) -> bool:
        """Take a record's content, or say False: the producer has failed meanwhile.

        Raises TopicMissing if the topic or partition does not show up within two seconds.
        """
        if wire.topic not in self._metadata._topics:
            self._sender.add_topic(wire.topic)  # known from an answer about all topics, it is not in the next one
        if self._metadata.leader_for_partition(wire) is None:
            self._await(wire, ticket)
        try:
            if self._accumulator.take(wire, content, ticket):
                self._sender.wakeup()
        except kafka_errors.IllegalStateError as ended:
            self.failure = self.failure or SendFailed(ticket.tp, str(ended))
            return False
        return True

    def _await(self, wire: WirePartition, ticket: Ticket) -> None:
        try:
            if wire.partition not in self.partitions_for(wire.topic):
                raise TopicMissing(ticket.tp)
        except kafka_errors.KafkaTimeoutError as error:
            raise TopicMissing(ticket.tp) from error

    def _finished(self, tickets: Sequence[Ticket], index: int, result: Any) -> None:
        """A batch was answered, or given up; the sends are those from number `index` on in it."""
        offset, _, error_of = result
        if error_of is None and offset < 0:
            error_of = _lost_offset
        if error_of is not None:
            for n, ticket in enumerate(tickets, index):
                self._failed(ticket, error_of(n))
        elif self.failure is None:
            self._done(Completion(tickets, offset + index))
        else:
            self._done(Completion(tickets, -1, SendFailed(tickets[0].tp, self.failure.reason)))

    def _failed(self, ticket: Ticket, error: BaseException) -> None:
        if isinstance(error, kafka_errors.MessageSizeTooLargeError | kafka_errors.RecordListTooLargeError):
            refused: SendError = RecordTooLarge(ticket.tp, ticket.size_bytes, None)
        else:
            refused = SendFailed(ticket.tp, f"{type(error).__name__}: {error}")
        if self.failure is None:
            self.failure = SendFailed(ticket.tp, f"{type(error).__name__}: {error}")
            _log.warning("producer given up after a failed send; the next send builds a new one: %s", error)
            self._sender.force_close()
        self._done(Completion([ticket], -1, refused))

    def abandon(self) -> None:
        """Stop at once: `close` would first wait for all that is in flight, and raise if that takes too long."""
        self._unregister_cleanup()
        self._sender.force_close()
        self._sender.join(2.0)
        self._closed = True
