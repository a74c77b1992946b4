"""When a log is asked for and what each answer said: the proof of a log's end and the wait at the broker rest on it."""
# The stubs are of kafka-python 2.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import kafka.errors as kafka_errors
from kafka.consumer.fetcher import CompletedFetch, Fetcher

from shared.runtime.kafka_clients.beginnings import Beginnings
from shared.runtime.kafka_clients.partition_records import PartitionRecords, damaged_batch
from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_wire import Answer, FetchPlan
from shared.runtime.log import DamagedBatch


class _NumberedOffsets(dict[WirePartition, int]):
    number: int = 0


def _diverges(said: Any) -> bool:
    """Whether the answer is that the log was cut behind our back (KIP-595); kafka-python then looks into it."""
    return said.diverging_epoch is not None and said.diverging_epoch.end_offset >= 0


class NumberingFetcher(Fetcher):
    """Numbers its requests, keeps what each answer said, and asks how long each may wait at the broker."""

    def __init__(
        self, *args: Any, number: Callable[[], int], wait_ms: Callable[[FetchPlan], int], prefix: str, **config: Any
    ) -> None:
        super().__init__(*args, **config)
        self.PartitionRecords = partial(PartitionRecords, prefix=prefix, beginnings=Beginnings())
        self._number = number
        self._wait_ms = wait_ms
        self._records_in_hand = False
        self.answers: deque[Answer] = deque()
        self.news: SimpleQueue[None] = SimpleQueue()  # something for the caller to look at; more often than not nothing
        self.failures = 0
        self.damaged: list[DamagedBatch] = []

    def fetch_records(
        self, max_records: int | None = None, update_offsets: bool = True, timeout_ms: float | None = None
    ) -> Any:
        # In place of kafka-python's own, which has its I/O thread send and wait, each time it is called: half of what
        # a quiet service used. Here it is asked only where there is something to ask, and the caller waits for news.
        found, more = self.fetched_records(max_records, update_offsets)
        if not more and self._has_to_ask():
            self.send_fetches()
        if not found:
            # Where nothing is in flight there is no news but a wake, and it is asked again soon.
            wait_ms = timeout_ms or 0
            self.rest(wait_ms if self.in_flight_fetches() else min(wait_ms, self.config["retry_backoff_ms"]))
        # What is news behind this point ends the next wait.
        while not self.news.empty():
            self.news.get()
        if not found:
            found, _ = self.fetched_records(max_records, update_offsets)
        return found, False

    def rest(self, timeout_ms: float) -> None:
        """Wait for an answer or a wake."""
        with suppress(Empty):
            self.news.get(timeout=timeout_ms / 1000)

    def _has_to_ask(self) -> bool:
        pending = self._nodes_with_pending_fetch_requests
        return any(self._select_read_replica(wire) not in pending for wire in self._fetchable_partitions())

    def _clear_pending_fetch_request(self, node_id: int, result: Any) -> None:
        super()._clear_pending_fetch_request(node_id, result)
        self.news.put(None)  # only now: the next fetch can be sent, and the answer has been taken in

    def fetched_records(self, max_records: int | None = None, update_offsets: bool = True) -> Any:
        # kafka-python gives a resumed log its parked records back only when this slot is None, but leaves what it has
        # finished in it: the log would neither be read from the buffer nor be asked for again.
        if self._next_partition_records is not None and not self._next_partition_records:
            self._next_partition_records = None
        found = super().fetched_records(max_records, update_offsets)
        self._records_in_hand = bool(found[0])
        return found

    def _create_fetch_requests(self) -> dict[int, tuple[Any, dict[WirePartition, int]]]:
        # On the I/O thread, while the caller waits in `poll`: nothing of the caller's runs meanwhile.
        wanted = self._subscriptions.fetchable_partitions()
        asked = self._fetchable_partitions()
        paused = bool(self._subscriptions.paused_partitions())
        plan = FetchPlan(asked, len(asked) < len(wanted), self._records_in_hand, paused)
        self.config["fetch_max_wait_ms"] = self._wait_ms(plan)
        requests = super()._create_fetch_requests()
        number = self._number()
        numbered: dict[int, tuple[Any, dict[WirePartition, int]]] = {}
        for node, (request, offsets) in requests.items():
            known = _NumberedOffsets(offsets)
            known.number = number
            numbered[node] = (request, known)
        return numbered

    def _handle_fetch_response(self, node_id: int, fetch_offsets: Any, send_time: float, response: Any) -> None:
        # In place of kafka-python's own: with sessions and metrics off, all that it does is to queue every answer. Most
        # say that nothing came, and taking those apart cost half of what an idle service used.
        for topic in response.responses:
            for said in topic.partitions:
                wire = WirePartition(topic.topic, said.partition_index)
                asked = fetch_offsets[wire]
                self.answers.append(Answer(wire, fetch_offsets.number, asked, said.high_watermark, said.error_code))
                if said.records or said.error_code or _diverges(said):
                    self._completed_fetches.append(CompletedFetch(wire, asked, response.API_VERSION, said, None))

    def _handle_fetch_error(self, node_id: int, exception: BaseException) -> None:
        self.failures += 1
        super()._handle_fetch_error(node_id, exception)

    def _parse_fetched_data(self, completed_fetch: Any) -> Any:
        try:
            records = super()._parse_fetched_data(completed_fetch)
        except kafka_errors.KafkaError as error:
            # By its length the first batch is longer than the answer, or the broker says that its own copy is damaged.
            if type(error) not in (kafka_errors.KafkaError, kafka_errors.CorruptRecordError):
                raise
            self.damaged.append(damaged_batch(completed_fetch.topic_partition, completed_fetch.fetched_offset, error))
            return None
        if records is not None:
            records.end = completed_fetch.partition_data.high_watermark
        return records

    def _on_partition_records_drain(self, partition_records: Any) -> None:
        super()._on_partition_records_drain(partition_records)
        if partition_records.damage is not None:
            self.damaged.append(partition_records.damage)
