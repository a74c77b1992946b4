"""From the batches of one answer to records of ours; a batch that cannot be read ends them and is told as damage."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import kafka.errors as kafka_errors
from kafka.consumer.fetcher import Fetcher
from snappy import UncompressError
from zstandard import ZstdError

from shared.runtime.kafka_clients.beginnings import Beginnings
from shared.runtime.kafka_records import Frame, records_in
from shared.runtime.log import DamagedBatch, LogRecord, TopicPartition

_LARGEST_SANE_BATCH = 1_000_000
# All that decoding somebody else's bytes can raise; lz4 has no exception of its own.
_BAD_BYTES = (
    ValueError, IndexError, OverflowError, EOFError, OSError, RuntimeError, zlib.error, struct.error, ZstdError,
    UncompressError,
)  # fmt: skip


class PartitionRecords(Fetcher.PartitionRecords):
    """Hands out records of ours; ends before a batch that cannot be read, and says where the next one begins.

    Offsets go up, and stay below the high watermark. kafka-python's own makes three objects of each record, raises once
    at such a batch, and then hands out nothing without ever ending, so that `poll` does not return.
    """

    damage: DamagedBatch | None = None
    end: float = math.inf  # the high watermark of the answer

    def __init__(self, *args: Any, prefix: str = "", beginnings: Beginnings | None = None, **options: Any) -> None:
        self._prefix, self._beginnings = prefix, beginnings
        super().__init__(*args, **options)

    def _unpack_records(self, tp: Any, records: Any, *_deserializers: Any) -> Iterator[LogRecord]:
        ours = TopicPartition(tp.topic.removeprefix(self._prefix), tp.partition)
        batch: Any = None
        try:
            while records.has_next():
                batch = records.next_batch()
                if not batch.validate_crc():
                    raise kafka_errors.CorruptRecordError(f"the batch at {batch.base_offset} fails its crc check")
                if batch.magic < 2:
                    begins = self.next_fetch_offset if self.next_fetch_offset > self.fetch_offset else 0
                    yield from self._counted(_old_records(ours, batch), begins, self.end)
                    continue
                self._check(batch)
                if self._beginnings and not self._beginnings.believes(tp, self.next_fetch_offset, batch.base_offset):
                    break  # asked for again from where this one was to begin
                self.leader_epoch = batch.leader_epoch
                if not batch.is_control_batch:
                    yield from self._counted(_records(ours, batch), batch.base_offset, batch.next_offset)
                # Behind what compaction took from the end of the batch as well.
                self.next_fetch_offset = batch.next_offset
            self.drain()
        except (kafka_errors.KafkaError, *_BAD_BYTES) as error:
            self.damage = damaged_batch(tp, self.next_fetch_offset, error, batch, self.end)
            self.drain()

    def _check(self, batch: Any) -> None:
        if batch.magic != 2:
            raise kafka_errors.CorruptRecordError(f"a batch of format {batch.magic}")
        reached = self.next_fetch_offset
        begins = batch.base_offset if reached > self.fetch_offset else reached  # the first may begin before
        if begins < reached or not reached < batch.next_offset <= self.end:
            raise kafka_errors.CorruptRecordError(
                f"a batch at offset {batch.base_offset}, where {reached} to {self.end} were to come"
            )

    def _counted(self, records: Iterator[LogRecord], begins: int, end: float) -> Iterator[LogRecord]:
        for record in records:
            offset = record.offset
            if not begins <= offset < end:
                raise kafka_errors.CorruptRecordError(f"a record at {offset}, where {begins} to {end} were to come")
            begins = offset + 1
            # Those before `fetch_offset` are passed over by whoever takes from us: the position must not go back there.
            if begins > self.next_fetch_offset:
                self.next_fetch_offset = begins
            yield record


def _records(tp: TopicPartition, batch: Any) -> Iterator[LogRecord]:
    iter(batch)  # decompresses
    append_ms = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else None
    frame = Frame(tp, batch.base_offset, batch.first_timestamp, append_ms, batch.records_count)
    return records_in(bytes(memoryview(batch._buffer)[batch._pos :]), frame)


def _old_records(tp: TopicPartition, batch: Any) -> Iterator[LogRecord]:
    """Of message formats 0 and 1, which Apache Kafka still gives out as they were stored."""
    for record in batch:
        ms = -1 if record.timestamp is None else record.timestamp
        yield LogRecord(tp.topic, tp.partition, record.offset, ms, record.key, record.value, ())


def damaged_batch(wire: Any, first: int, error: Exception, batch: Any = None, end: float = 0) -> DamagedBatch:
    """The batch at offset `first`, which cannot be read; where it does not name an end to believe, one offset of it."""
    # A batch of the oldest formats, or one that looks so because it is damaged, does not name its end.
    following = getattr(batch, "next_offset", 0)
    if not (first < following <= end and following - batch.base_offset <= _LARGEST_SANE_BATCH):
        following = first + 1
    return DamagedBatch(wire.topic, wire.partition, first, following, f"{type(error).__name__}: {error}")
