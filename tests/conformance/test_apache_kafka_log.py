"""Apache Kafka keeps the contract, and everything goes on when it comes back with its data."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.kafka.cluster import KafkaCluster
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import BrokerAway, FlushTimedOut, RecordTooLarge, SendError, TopicPartition
from tests.conformance.log_contract import PATIENCE_S, Acks, LogContract, read, until, write

TP = TopicPartition("t", 0)


class TestApacheKafkaLog(LogContract):
    @pytest.fixture
    def broker(self, apache_kafka: str) -> KafkaBroker:
        return KafkaBroker(KafkaSettings(bootstrap=apache_kafka, topic_prefix="contract-prefix."))


def test_everything_goes_on_after_a_broker_was_away(tmp_path: Path) -> None:
    with KafkaCluster(tmp_path / "kafka") as cluster:
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
