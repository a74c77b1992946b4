"""Sends on their way into batches: each costs its bytes and a ticket, and a batch completes once for all of them."""
# The stubs are of kafka-python 2.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import kafka.errors as kafka_errors
from kafka.producer.producer_batch import ProducerBatch
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.record.memory_records import MemoryRecordsBuilder

from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_records import record_of
from shared.runtime.kafka_wire import Ticket

LEADERS_EVERY_S = 0.1
# Told of sends of one batch: these, the number of the first in it, and what kafka-python says of the batch.
Finished = Callable[[Sequence[Ticket], int, Any], None]


class BatchRecords(MemoryRecordsBuilder):
    """The records of one batch, which go into its bytes as they are taken."""

    def take(self, ms: int, content: bytes) -> bool:
        """Whether there is room; the first record always has it."""
        if self._closed:
            return False
        whole, offset = self._builder, self._next_offset
        first_ms = ms if whole._first_timestamp is None else whole._first_timestamp
        record = record_of(offset, ms - first_ms, content)
        if offset and whole.size() + len(record) > self._batch_size:
            return False
        whole._buffer += record
        whole._first_timestamp, whole._max_timestamp = first_ms, max(ms, whole._max_timestamp or ms)
        whole._last_offset, whole._num_records = offset, offset + 1
        self._next_offset = offset + 1
        return True


class _Batch(ProducerBatch):
    """Completes once for all of its records; kafka-python makes a future, a lock and two callbacks for each."""

    def __init__(self, wire: WirePartition, records: BatchRecords, finished: Finished) -> None:
        super().__init__(wire, records)
        self.tickets: list[Ticket] = []
        self.produce_future.add_callback(partial(finished, self.tickets, 0))


class _Moved:
    """The place of a send in a batch that kafka-python divides, because the broker found it too large."""

    def __init__(self, ticket: Ticket, finished: Finished) -> None:
        self._ticket, self._finished = ticket, finished

    def rebind(self, produce_future: Any, index: int) -> None:
        produce_future.add_callback(partial(self._finished, [self._ticket], index))


class Accumulator(RecordAccumulator):
    """Takes a send without what `KafkaProducer.send` does for each: checks, sizes, texts for its log, a future."""

    finished: Finished
    _asked_s = float("-inf")

    def take(self, wire: WirePartition, content: bytes, ticket: Ticket) -> bool:
        """Whether the sender has something to do. Raises IllegalStateError once closed."""
        ms = time.time_ns() // 1_000_000
        self._appends_in_progress.increment()
        try:
            with self._tp_lock(wire):
                if self._closed:
                    raise kafka_errors.IllegalStateError("the producer has ended")
                waiting = self._batches[wire]
                batch = waiting[-1] if waiting else None
                fits = isinstance(batch, _Batch) and batch.records.take(ms, content)
                if not fits:
                    records = BatchRecords(2, self.config["compression_attrs"], self.config["batch_size"])
                    records.take(ms, content)
                    batch = _Batch(wire, records, self.finished)
                    waiting.append(batch)
                    self._incomplete.add(batch)
                cast(_Batch, batch).tickets.append(ticket)
                return not fits
        finally:
            self._appends_in_progress.decrement()

    def ready(self, cluster: Any, now: float | None = None) -> tuple[set[Any], float, bool]:
        """Nodes to send to, when to look again, in seconds, and whether to ask the broker for leaders.

        kafka-python asks for the leader of every partition that it ever wrote to, and as soon as it is answered once
        more: where one is gone, or not in the answer, its sender does nothing else. Here only what has something to
        send counts, and it is asked for every LEADERS_EVERY_S.
        """
        now = time.monotonic() if now is None else now
        nodes, look_again_s, unknown = super().ready(cluster, now=now)
        if not unknown or not self._lacks_a_leader(cluster):
            return nodes, look_again_s, False
        ask = now >= self._asked_s + LEADERS_EVERY_S
        if ask:
            self._asked_s = now
        return nodes, min(look_again_s, LEADERS_EVERY_S), ask

    def _lacks_a_leader(self, cluster: Any) -> bool:
        unsent = [wire for wire, waiting in list(self._batches.items()) if waiting]
        return any(cluster.leader_for_partition(wire) in (None, -1) for wire in unsent)

    def split_and_reenqueue(self, batch: Any, now: float | None = None) -> int:
        if isinstance(batch, _Batch):
            batch._record_futures = [_Moved(ticket, self.finished) for ticket in batch.tickets]
        return cast(int, super().split_and_reenqueue(batch, now))
