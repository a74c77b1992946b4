"""Apache Kafka keeps the contract, and everything goes on when it comes back with its data."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from deploy.kafka.cluster import KafkaCluster
from shared.contracts.envelope import Encoded
from shared.contracts.topics import REJECTED
from shared.runtime.kafka_admin import KafkaAdmin
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_clients.admin_client import AdminClient
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import BrokerAway, FlushTimedOut, RecordTooLarge, SendError, TopicPartition
from shared.runtime.relay import EventRefused
from shared.runtime.topic_settings import MAX_MESSAGE_BYTES
from tests.conformance.log_contract import PATIENCE_S, Acks, LogContract, read, until, write
from tests.conformance.networks import WireNetwork
from tests.conformance.task_bench import PARTITIONS, TOPIC, TaskBench, user_record
from tests.conformance.task_contract import TaskContract
from tests.conformance.wire_contract import WireContract

TP = TopicPartition("t", 0)


class TestApacheKafkaLog(LogContract):
    @pytest.fixture
    def broker(self, apache_kafka: str) -> KafkaBroker:
        return KafkaBroker(KafkaSettings(bootstrap=apache_kafka, topic_prefix="contract-prefix."))


class TestApacheKafkaTasks(TaskContract, WireContract):
    @pytest.fixture
    def network(self, apache_kafka: str) -> Iterator[WireNetwork]:
        network = WireNetwork(apache_kafka, embedded=False, prefix=f"{uuid.uuid4().hex[:8]}.")
        yield network
        network.close()


def test_a_topic_that_takes_less_than_an_event_needs_stops_the_service_and_loses_nothing(
    apache_kafka: str, tmp_path: Path
) -> None:
    prefix = f"{uuid.uuid4().hex[:8]}."
    broker = KafkaBroker(KafkaSettings(bootstrap=apache_kafka, topic_prefix=prefix))
    admin = broker.admin()
    admin.create(REJECTED.name, 1, {"max.message.bytes": "20000"})
    bench = TaskBench(broker, broker, tmp_path)
    bench.publish(range(10))
    tp, _, _ = user_record(0)
    bench.write(tp, Encoded(None, b"no JSON " * 5_000, ()))
    bench.publish(range(10, 20))
    for _ in range(2):
        with pytest.raises(EventRefused, match=rf"{REJECTED.name}/0 .*max\.message\.bytes"):
            bench.run_dry()
        bench.kill()
        bench.start()
    settings = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    admin._ask(partial(_configure, ConfigResource(ConfigResourceType.TOPIC, prefix + REJECTED.name, settings)))
    bench.run_dry()
    bench.assert_each_once_and_in_order(range(20))
    assert [len(records) for records in bench.log(REJECTED.name).values()] == [1]
    for one in (bench, admin):
        one.close()


@pytest.mark.parametrize("meanwhile", ["reads", "is frozen", "is cut off"])
def test_a_topic_that_was_made_anew_is_not_read_on_though_it_reaches_further(
    apache_kafka: str, tmp_path: Path, meanwhile: str
) -> None:
    network = WireNetwork(apache_kafka, embedded=False, prefix=f"{uuid.uuid4().hex[:8]}.")
    admin = network.client.admin()
    bench = TaskBench(network.broker, network.client, tmp_path)
    bench.publish(range(20))
    bench.run_dry()
    if meanwhile == "is cut off":
        network.go_away()
        bench.turn_until_away()
    with ThreadPoolExecutor(1) as thread:
        made = thread.submit(_make_anew, bench, admin, network.wire_name(TOPIC))
        while meanwhile == "reads" and not made.done():
            bench.turn()
        made.result()
    time.sleep(0.1)  # see _INTERRUPTED_S
    network.come_back()
    bench.turn_until(lambda: len(bench.process.awaited) == PARTITIONS, "its tasks stand still")
    assert all("but that was deleted" in why for why in bench.process.awaited.values())
    bench.turn_for(1.0)
    bench.assert_each_once_and_in_order(range(20))
    for one in (bench, admin, network):
        one.close()


def _make_anew(bench: TaskBench, admin: KafkaAdmin, topic: str) -> None:
    """The user's topic, `topic` on the wire: it is deleted, made and filled beyond where it ended."""
    admin._ask(partial(_delete, topic))
    until(lambda: admin.partitions(TOPIC) is None, "the topic is gone")
    admin.create(TOPIC, PARTITIONS, {})
    bench.publish(range(20, 90))


def _delete(topic: str, client: AdminClient) -> None:
    client.delete_topics([topic])


def _configure(resource: ConfigResource, client: AdminClient) -> None:
    client.alter_configs([resource])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A node that may be killed; whoever does starts it again."""
    with KafkaCluster(tmp_path_factory.mktemp("killed")) as cluster:
        yield cluster


def test_tasks_go_on_when_the_broker_is_started_again_with_its_log(cluster: KafkaCluster, tmp_path: Path) -> None:
    broker = KafkaBroker(KafkaSettings(bootstrap=cluster.bootstrap, topic_prefix="tasks."))
    bench = TaskBench(broker, broker, tmp_path)
    bench.publish(range(50))
    bench.turn()
    bench.publish(range(50, 100))
    cluster.kill(1)
    bench.turn_until_away()
    cluster.restart(1)
    bench.turn_until(lambda: not bench.driver.health.reasons, "the broker is back")
    bench.publish(range(100, 150))
    bench.run_dry()
    bench.assert_each_once_and_in_order(range(150))
    bench.close()


def test_everything_goes_on_after_a_broker_was_away(cluster: KafkaCluster) -> None:
    broker = KafkaBroker(KafkaSettings(bootstrap=cluster.bootstrap))
    admin, writer, reader = broker.admin(), broker.writer(), broker.reader()
    admin.create("t", 1, {})
    write(writer, TP, b"0", b"1")
    reader.assign({TP: 0})
    read(reader, 2)
    cluster.kill(1)
    began_s = time.monotonic()
    with pytest.raises(BrokerAway):
        until(lambda: bool(reader.poll(0.5, 10)), "BrokerAway")
    assert time.monotonic() - began_s < 5
    acks = Acks()
    for value in (b"2", b"3"):
        writer.send(TP, b"k", value, (), acks)
    with pytest.raises(BrokerAway):
        until(lambda: writer.drain(0.5) is not None, "BrokerAway")
    with pytest.raises(BrokerAway):
        admin.topics()
    assert writer.in_flight() == 2
    cluster.restart(1)

    def acknowledged() -> bool:
        with suppress(BrokerAway, FlushTimedOut):
            writer.flush(2)
        return writer.in_flight() == 0

    until(acknowledged, "both acknowledgements", patience_s=40)
    assert acks.offsets == [2, 3]
    values: list[bytes | None] = []

    def read_on() -> bool:
        with suppress(BrokerAway):
            values.extend(record.value for records in reader.poll(0.5, 10).values() for record in records)
        return len(values) >= 2

    until(read_on, "the records sent meanwhile", patience_s=40)
    assert values == [b"2", b"3"]
    assert admin.partitions("t") == 1
    for one in (admin, writer, reader):
        one.close()


def test_a_batch_that_a_broker_finds_too_large_is_divided_until_it_fits(tmp_path: Path) -> None:
    # Somebody else's cluster may take less at once than one of our batches holds.
    with KafkaCluster(tmp_path / "kafka", further={"message.max.bytes": "20000"}) as cluster:
        broker = KafkaBroker(KafkaSettings(bootstrap=cluster.bootstrap))
        admin, writer, reader = broker.admin(), broker.writer(), broker.reader()
        admin.create("t", 1, {})
        write(writer, TP, b"first")  # the producer is there: what follows is one batch
        told: dict[bytes, tuple[int | None, SendError | None]] = {}
        values = [b"%04d" % n + b"x" * 1_000 for n in range(150)]
        for value in values:
            writer.send(
                TP, b"k", value, (("n", value[:4]),),
                lambda offset, error, value=value: told.update({value: (offset, error)}),
            )  # fmt: skip
        writer.flush(PATIENCE_S)
        reader.assign({TP: 1})
        found = read(reader, len(values))
        assert [(record.value, record.headers) for record in found] == [(v, (("n", v[:4]),)) for v in values]
        assert told == {record.value: (record.offset, None) for record in found}
        large = Acks()
        writer.send(TP, b"k", b"x" * 30_000, (), large)
        writer.flush(PATIENCE_S)
        [refused] = large.errors
        assert isinstance(refused, RecordTooLarge)
        for one in (admin, writer, reader):
            one.close()
