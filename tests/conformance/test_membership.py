"""Instances of a service know each other by a consumer group of Apache Kafka: who comes, goes, dies and wakes up."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
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
import signal, sys, time
from shared.runtime.kafka_group import KafkaGroup
from shared.runtime.kafka_settings import KafkaSettings
group = KafkaGroup(KafkaSettings(bootstrap=sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
try:
    while True:
        group.members()
        time.sleep(0.02)
finally:
    group.leave()
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    with KafkaCluster(tmp_path_factory.mktemp("membership") / "kafka") as cluster:
        found = KafkaSettings(bootstrap=cluster.bootstrap)
        admin = KafkaBroker(found).admin()
        admin.create(CONTROL.name, 1, {})
        admin.close()
        yield found


@contextmanager
def other(settings: KafkaSettings, service: str, session_s: float) -> Generator[subprocess.Popen[str]]:
    """Instance b of the service, in a process of its own; SIGTERM lets it leave in order."""
    process = python(OTHER, settings.bootstrap, service, "b", session_s)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def instance(settings: KafkaSettings, service: str, session_s: float) -> Generator[KafkaGroup]:
    """Instance a. One that stays behind goes on in threads of its own, beside every other test."""
    group = KafkaGroup(settings, service, "a", session_s)
    try:
        yield group
    finally:
        group.leave()


def names(group: KafkaGroup) -> tuple[str, ...]:
    members = group.members()
    return () if members is None else members.names


def test_who_comes_goes_dies_and_wakes_up(settings: KafkaSettings) -> None:
    with instance(settings, "features", SESSION_S) as group:
        eventually(lambda: names(group) == ("a",), 30, "the first instance alone")
        alone = group.members()
        assert alone is not None
        with other(settings, "features", SESSION_S) as process:
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


def late_joins(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Their ends come later than anybody waits for them; how many there were."""
    base: Any = BaseCoordinator
    ends, join = [0], base._do_join_and_sync_async

    async def late(coordinator: Any) -> Any:
        found = await join(coordinator)
        await coordinator._manager._net.sleep(5 * JOIN_WAIT_MS / 1000)
        ends[0] += 1
        return found

    monkeypatch.setattr(base, "_do_join_and_sync_async", late)
    return ends


def test_a_join_that_ends_between_two_looks_counts(settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = late_joins(monkeypatch)
    with instance(settings, "training", SESSION_S) as group:
        eventually(lambda: names(group) == ("a",), 30, "it has joined")
        assert ends == [1], "each further join would set the whole group in motion again"


def test_a_leader_comes_to_the_end_of_a_join_whose_reason_is_gone(
    settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It assigns topics whose metadata changed, so that nothing seems to be left to join for; the end comes later."""
    ends = late_joins(monkeypatch)
    with instance(settings, "registry", SESSION_S) as group:
        eventually(lambda: names(group) == ("a",), 30, "it has joined")
        consumer: Any = group._consumer
        consumer._coordinator._assignment_snapshot = {}
        eventually(lambda: names(group) == ("a",) and ends == [2], 30, "it has joined anew")
        eventually(lambda: names(group) == ("a",) and not consumer._coordinator.rejoining, 10, "and knows")


def test_who_leaves_in_order_is_missed_at_once(settings: KafkaSettings) -> None:
    with instance(settings, "serving", 30.0) as group, other(settings, "serving", 30.0) as process:
        eventually(lambda: names(group) == ("a", "b"), 80, "the second has come")
        process.terminate()
        eventually(lambda: names(group) == ("a",), 10, "long before the session would have ended")
