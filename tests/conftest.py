"""Brokers for the tests. What they need and is missing is an error with the command that mends it, never a skip."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.kafka.cluster import KafkaCluster
from deploy.local.embedded import EmbeddedBroker


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of one running Apache Kafka node, shared by the session: name your topics apart."""
    with KafkaCluster(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster.bootstrap


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[str]:
    """Bootstrap servers of the running embedded broker, shared by the session: name your topics apart."""
    with EmbeddedBroker() as broker:
        yield broker.bootstrap
