"""The topics of a Kafka cluster under our prefix, over a connection that may have to be made anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from shared.runtime.kafka_clients.admin_client import AdminClient
from shared.runtime.kafka_reader import reachable
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import Home, Unanswered
from shared.runtime.log import BrokerAway

Said = TypeVar("Said")


class KafkaAdmin:
    """Topics of one cluster, under the prefix of the settings."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._home = Home()
        self._client: AdminClient | None = None

    def partitions(self, topic: str) -> int | None:
        """Number of partitions, or None if there is no such topic."""
        return self._ask(lambda client: client.partition_count(self._settings.topic_prefix + topic))

    def topics(self) -> frozenset[str]:
        """The topics under our prefix, without it and without Kafka's own."""
        prefix = self._settings.topic_prefix
        names = self._ask(AdminClient.topic_names)
        return frozenset(name[len(prefix) :] for name in names if name.startswith(prefix) and not name.startswith("__"))

    def create(self, topic: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic with the settings' replication factor; one that exists is left as it is."""
        name, replicas = self._settings.topic_prefix + topic, self._settings.replication_factor
        self._ask(lambda client: client.make(name, partitions, replicas, config))

    def topic_id(self, topic: str) -> str | None:
        """Tells a topic from one that was deleted and had its name (KIP-516); the embedded broker has no such ids."""
        return self._ask(lambda client: client.topic_id(self._settings.topic_prefix + topic))

    def settings(self, topic: str) -> Mapping[str, str]:
        """The settings in force for a topic; the embedded broker tells only what it was given."""
        return self._ask(lambda client: client.topic_settings(self._settings.topic_prefix + topic))

    def close(self) -> None:
        """Give back the connection and its thread."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self, question: Callable[[AdminClient], Said]) -> Said:
        try:
            return question(self._connected())
        except Unanswered:
            self.close()  # a connection that the broker closed meanwhile shows only when it is used
        try:
            return question(self._connected())
        except Unanswered as unanswered:
            self.close()
            raise BrokerAway(self._settings.bootstrap) from unanswered

    def _connected(self) -> AdminClient:
        self._home.require()
        if self._client is None:
            if not reachable(self._settings):
                raise BrokerAway(self._settings.bootstrap)
            self._client = AdminClient(self._settings)
        return self._client
