"""One Kafka cluster as a Broker: readers, writers and the admin with the same settings."""

from __future__ import annotations

from shared.runtime.kafka_admin import KafkaAdmin
from shared.runtime.kafka_reader import KafkaReader
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_writer import KafkaWriter


class KafkaBroker:
    """Where readers, writers and the admin of one cluster come from. Nothing connects before its first use."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def reader(self) -> KafkaReader:
        """A new reader."""
        return KafkaReader(self._settings)

    def writer(self) -> KafkaWriter:
        """A new writer, with a producer id of its own."""
        return KafkaWriter(self._settings)

    def admin(self) -> KafkaAdmin:
        """A new admin."""
        return KafkaAdmin(self._settings)
