"""How far logs reach at the broker itself: not what some process last heard of it."""
# The stubs are of kafka-python 2.
# pyright: reportCallIssue=false

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping

from kafka import KafkaConsumer
from kafka.structs import TopicPartition

DIRECT = "direct://"  # no proxy


class LogEnds:
    """Asks Apache Kafka for high watermarks. Several threads may ask; nothing connects before the first question."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap, self._prefix = bootstrap, prefix
        self._lock = threading.Lock()
        self._consumer: KafkaConsumer | None = None

    @classmethod
    def of_environment(cls) -> LogEnds:
        """Of the broker that a service's environment names."""
        return cls(os.environ["HEADRACE_KAFKA_BOOTSTRAP"], os.environ.get("HEADRACE_KAFKA_TOPIC_PREFIX", ""))

    def of(self, logs: Collection[str]) -> Mapping[str, int]:
        """By `topic/partition`, the offset after the last entry that all may read. The topics must exist."""
        with self._lock:
            if self._consumer is None:
                self._consumer = KafkaConsumer(bootstrap_servers=self._bootstrap, proxy_url=DIRECT)
            asked = {self._wire(log): log for log in logs}
            try:
                ends = self._consumer.end_offsets(list(asked))
            except KeyError:  # it passes over one of several whose leader it does not know yet, and stumbles over that
                ends = {wire: self._consumer.end_offsets([wire])[wire] for wire in asked}
            return {asked[wire]: end for wire, end in ends.items()}

    def close(self) -> None:
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None

    def _wire(self, log: str) -> TopicPartition:
        topic, _, partition = log.rpartition("/")
        return TopicPartition(self._prefix + topic, int(partition))
