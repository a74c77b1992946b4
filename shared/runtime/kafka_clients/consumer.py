"""A consumer that reads where it is told: no group, no commits, no position that is reset behind our back."""
# The stubs are of kafka-python 2.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import kafka.errors as kafka_errors
from kafka import KafkaConsumer
from kafka.util import Timer

from shared.runtime.kafka_clients.connection import BLOCK_MS, answered, build, never_create_topics
from shared.runtime.kafka_clients.fetcher import NumberingFetcher
from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import FetchPlan, PositionLost, Unanswered
from shared.runtime.log import LogRecord


class Consumer(KafkaConsumer):
    """A consumer without a group that never resets a position by itself.

    Fetch sessions are off, so that every answer names every log asked for: silence is no proof of anything.
    """

    def __init__(
        self, settings: KafkaSettings, *, number: Callable[[], int], wait_ms: Callable[[FetchPlan], int]
    ) -> None:
        build(
            settings,
            super().__init__,
            auto_offset_reset="none",
            enable_auto_commit=False,
            enable_incremental_fetch_sessions=False,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            metrics_enabled=False,
        )
        self._fetcher = NumberingFetcher(
            self._client, self._subscription, number=number, wait_ms=wait_ms, prefix=settings.topic_prefix,
            metrics=None, **self.config,
        )  # fmt: skip
        self.fetcher = self._fetcher
        never_create_topics(self._cluster)

    def where(self, wire: WirePartition) -> int | None:
        """Position without asking the broker (`position` may block)."""
        position = self._subscription.assignment[wire].position
        return None if position is None else position.offset

    def knows_topic(self, topic: str) -> bool:
        """Whether the newest metadata name the topic (`partitions_for_topic` may block without end)."""
        return self._cluster.partitions_for_topic(topic) is not None

    def first_offset(self, wire: WirePartition) -> int | None:
        """Log start offset, or None if the broker did not say in time."""
        try:
            return cast(int, self.beginning_offsets([wire], timeout_ms=BLOCK_MS)[wire])
        except (kafka_errors.RetriableError, kafka_errors.BrokerResponseError):
            return None

    def next_records(self, timeout_ms: int, max_records: int) -> dict[WirePartition, list[LogRecord]]:
        """Wait once: for records, for any answer, or for `wake`. Raises PositionLost where a position is refused."""
        try:
            with answered():
                return cast("dict[WirePartition, list[LogRecord]]", self._poll_once(Timer(timeout_ms), max_records))
        except kafka_errors.OffsetOutOfRangeError as error:
            wire, asked = next(iter(error.args[0].items()))
            raise PositionLost(wire, asked) from error
        except kafka_errors.LogTruncationError as error:
            wire = next(iter(error.divergent_offsets))
            raise PositionLost(wire, self.where(wire) or 0) from error
        except Unanswered:
            return {}

    def rest(self, timeout_s: float) -> None:
        """Wait for `wake`."""
        self.fetcher.rest(timeout_s * 1000)

    def wake(self) -> None:
        """From any thread, and from a signal handler."""
        self.fetcher.news.put(None)
