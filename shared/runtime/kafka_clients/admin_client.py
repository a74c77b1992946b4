"""Topics asked for, created and described; what may be asked again is told apart from what was refused."""
# The stubs are of kafka-python 2.
# pyright: reportCallIssue=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import kafka.errors as kafka_errors
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from shared.runtime.kafka_clients.connection import answered, build
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import TopicRefused

_NO_ID = UUID(int=0)


class AdminClient(KafkaAdminClient):
    """Topics by their names in the cluster. All methods raise AccessDenied, and Unanswered where asking may help."""

    def __init__(self, settings: KafkaSettings) -> None:
        build(settings, super().__init__)

    def partition_count(self, topic: str) -> int | None:
        """Number of partitions, or None if there is no such topic."""
        said = self._described(topic)
        return None if said is None else len(said["partitions"])

    def topic_id(self, topic: str) -> str | None:
        """Tells a topic from one that was deleted and had its name; None if there is none, or the broker has no ids."""
        said = self._described(topic)
        found = None if said is None else UUID(str(said.get("topic_id", _NO_ID)))
        return None if found in (None, _NO_ID) else str(found)

    def _described(self, topic: str) -> dict[str, Any] | None:
        with answered():
            [said] = self.describe_topics([topic])
        return None if said["error_code"] == kafka_errors.UnknownTopicOrPartitionError.errno else said

    def topic_names(self) -> list[str]:
        """All topics, Kafka's own included."""
        with answered():
            return self.list_topics()

    def topic_settings(self, topic: str) -> Mapping[str, str]:
        """The settings in force, the cluster's defaults included; none of a topic that is not there."""
        with answered():
            said = self.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        return {name: str(one["value"]) for name, one in said["topic"].get(topic, {}).items()}

    def make(self, topic: str, partitions: int, replication_factor: int, config: Mapping[str, str]) -> None:
        """Create a topic; one that exists is left as it is. Raises TopicRefused."""
        wanted = {"num_partitions": partitions, "replication_factor": replication_factor, "configs": dict(config)}
        try:
            with answered():
                self.create_topics(new_topics={topic: wanted}, wait_for_metadata=True)
        except kafka_errors.TopicAlreadyExistsError:
            return
        except kafka_errors.BrokerResponseError as error:
            raise TopicRefused(topic, f"{type(error).__name__}, {error.description}") from error
