"""Three brokers of Apache Kafka, of which the leader is killed again and again, while records flow through tasks.

The embedded broker is one process, and the log in memory is none: neither has a leader to lose.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import cast

import pytest

from deploy.kafka.cluster import KafkaCluster
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import BrokerAway, TopicPartition, Writer
from shared.runtime.relay import Relay
from shared.runtime.task import Task
from shared.runtime.task_file import OutboxRow
from tests.conformance.task_bench import ACCEPTED, PARTITIONS, TAKEN, TOPIC, TaskBench, user_record
from tests.eventually import eventually

NODES = 3
PATIENCE_S = 120.0
AT_ONCE = 200


class Client:
    """Publishes numbered records in order: after a failure, all behind the last acknowledged one again, as a relay."""

    def __init__(self, writer: Writer) -> None:
        self.unsent: deque[OutboxRow] = deque()
        self.number = 0
        self._relay = Relay(cast(Task, self), writer)
        self._writer = writer

    def acknowledged(self, ordinal: int, topic: str, partition: int, end: int) -> None:
        """What a relay tells its task; nothing is to be remembered here."""

    def turn(self, more: bool) -> bool:
        """Publish some; whether all is acknowledged."""
        while more and self._relay.pending < AT_ONCE:
            tp, key, value = user_record(self.number)
            self.unsent.append(OutboxRow(self.number, tp.topic, tp.partition, key, value, ()))
            self.number += 1
        with suppress(BrokerAway):
            self._relay.send()
            if self._writer.in_flight():
                self._writer.drain(0.01)
        return self._relay.idle


class Killer(threading.Thread):
    """Kills the leader of one log after the other, and starts it again; the next one when all replicas are in sync."""

    def __init__(self, cluster: KafkaCluster, broker: KafkaBroker, kills: int) -> None:
        super().__init__(daemon=True)
        self._cluster, self._admin, self._kills = cluster, broker.admin(), kills
        self.killed: list[int] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        logs = [TopicPartition(topic, p) for topic in (TAKEN, ACCEPTED, TOPIC) for p in range(PARTITIONS)]
        with ExitStack() as ends:
            ends.callback(self._admin.close)
            try:
                for n in range(self._kills):
                    self._kill_leader_of(logs[n % len(logs)], logs)
            except (AssertionError, OSError, RuntimeError) as failure:
                self.failure = failure

    def _kill_leader_of(self, tp: TopicPartition, logs: list[TopicPartition]) -> None:
        leader, _ = self._replicas(tp)
        self._cluster.kill(leader)
        self.killed.append(leader)
        eventually(lambda: self._replicas(tp)[0] not in (leader, -1), PATIENCE_S, "another leads")
        self._cluster.restart(leader)
        eventually(lambda: all(self._replicas(log)[1] == NODES for log in logs), PATIENCE_S, "all are in sync")

    def _replicas(self, tp: TopicPartition) -> tuple[int, int]:
        """The leader of a log, -1 if there is none, and how many replicas are in sync."""
        with suppress(BrokerAway):
            [topic] = self._admin._ask(lambda client: client.describe_topics([tp.topic]))
            [said] = [one for one in topic["partitions"] if one["partition_index"] == tp.partition]
            return said["leader_id"], len(said["isr_nodes"])
        return -1, 0


@pytest.mark.proof
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kills", [2, 9])
def test_leaders_that_are_killed_again_and_again_lose_double_and_reorder_nothing(tmp_path: Path, kills: int) -> None:
    with KafkaCluster(tmp_path / "kafka", nodes=NODES, start_timeout_s=240) as cluster, ExitStack() as ends:
        broker = KafkaBroker(KafkaSettings(bootstrap=cluster.bootstrap, replication_factor=NODES))
        bench = TaskBench(broker, broker, tmp_path)
        ends.callback(bench.close)
        writer = broker.writer()
        ends.callback(writer.close)
        client, killer = Client(writer), Killer(cluster, broker, kills)
        killer.start()
        until_s = time.monotonic() + kills * PATIENCE_S
        while killer.is_alive():
            assert time.monotonic() < until_s, f"{len(killer.killed)} of {kills} kills"
            client.turn(more=True)
            bench.turn(0.01)
        assert killer.failure is None, killer.failure
        assert len(killer.killed) == kills
        bench.turn_until(lambda: client.turn(more=False), "all is published", PATIENCE_S)
        bench.run_dry()
        assert client.number > 100 * kills
        print(client.number, killer.killed)
        bench.assert_accepted_once_and_in_order(range(client.number))
