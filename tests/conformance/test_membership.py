"""Instances of a service know each other by a consumer group of Apache Kafka: who comes, goes, dies and wakes up."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.coordinator.base import BaseCoordinator

from deploy.kafka.cluster import KafkaCluster
from shared.contracts.topics import CONTROL
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_clients.group_consumer import JOIN_WAIT_MS
from shared.runtime.kafka_group import KafkaGroup
from shared.runtime.kafka_settings import KafkaSettings
from tests.eventually import eventually
from tests.unit.deploy.processes import python

SESSION_S = 6.0  # Apache Kafka takes no less
OTHER = """
import sys, time
from shared.runtime.kafka_group import KafkaGroup
from shared.runtime.kafka_settings import KafkaSettings
group = KafkaGroup(KafkaSettings(bootstrap=sys.argv[1]), "features", sys.argv[2], float(sys.argv[3]))
while True:
    group.members()
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    with KafkaCluster(tmp_path_factory.mktemp("membership") / "kafka") as cluster:
        found = KafkaSettings(bootstrap=cluster.bootstrap)
        admin = KafkaBroker(found).admin()
        admin.create(CONTROL.name, 1, {})
        admin.close()
        yield found


def other(settings: KafkaSettings, instance: str) -> subprocess.Popen[str]:
    return python(OTHER, settings.bootstrap, instance, SESSION_S)


def names(group: KafkaGroup) -> tuple[str, ...]:
    members = group.members()
    return () if members is None else members.names


def test_who_comes_goes_dies_and_wakes_up(settings: KafkaSettings) -> None:
    group = KafkaGroup(settings, "features", "a", SESSION_S)
    eventually(lambda: names(group) == ("a",), 30, "the first instance alone")
    alone = group.members()
    assert alone is not None
    process = other(settings, "b")
    try:
        eventually(lambda: names(group) == ("a", "b"), 30, "the second has come")
        both = group.members()
        assert both is not None
        assert both.before == ("a",)
        assert both.id != alone.id
        os.kill(process.pid, signal.SIGSTOP)
        eventually(lambda: names(group) == ("a",), 60, "the frozen one is thought dead")
        os.kill(process.pid, signal.SIGCONT)
        eventually(lambda: names(group) == ("a", "b"), 60, "it wakes up and joins again")
        process.kill()
        eventually(lambda: names(group) == ("a",), 60, "the killed one is gone")
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    group.leave()


def test_a_join_that_ends_between_two_looks_counts(settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    base: Any = BaseCoordinator
    ends, join = [0], base._do_join_and_sync_async

    async def late(coordinator: Any) -> Any:
        """Its end comes later than anybody waits for it."""
        found = await join(coordinator)
        await coordinator._manager._net.sleep(5 * JOIN_WAIT_MS / 1000)
        ends[0] += 1
        return found

    monkeypatch.setattr(base, "_do_join_and_sync_async", late)
    group = KafkaGroup(settings, "training", "a", SESSION_S)
    eventually(lambda: names(group) == ("a",), 30, "it has joined")
    assert ends == [1], "each further join would set the whole group in motion again"
    group.leave()


def test_who_leaves_in_order_is_missed_at_once(settings: KafkaSettings) -> None:
    first, second = (KafkaGroup(settings, "serving", name, 30.0) for name in ("a", "b"))
    eventually(lambda: names(first) == names(second) == ("a", "b"), 80, "both know both")
    second.leave()
    eventually(lambda: names(first) == ("a",), 10, "long before the session would have ended")
    first.leave()
