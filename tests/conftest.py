"""Brokers for the tests, and which tests may run at once.

What a broker needs and is missing is an error with the command that mends it, never a skip.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

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


class OnePlatformAtATime(LoadFileScheduling):
    """Files in parallel, but all that start whole platforms one after the other: they use the ports of the README."""

    def _split_scope(self, nodeid: str) -> str:
        whole = nodeid.startswith(("tests/e2e/", "tests/chaos/"))
        return "whole platforms" if whole else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OnePlatformAtATime:
    """Called with `-n`."""
    return OnePlatformAtATime(config, log)
