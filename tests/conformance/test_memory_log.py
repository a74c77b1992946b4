"""The log in memory keeps the contract, and its faults look as Kafka's do."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.runtime.log import BrokerAway, FlushTimedOut, OffsetOutOfRange, SendFailed, TopicPartition
from shared.runtime.memory_log import Fate, MemoryBroker
from tests.conformance.log_contract import Acks, LogContract, read, write
from tests.conformance.networks import MemoryNetwork
from tests.conformance.task_bench import PARTITIONS, TOPIC, TaskBench
from tests.conformance.task_contract import TaskContract

TP = TopicPartition("t", 0)


class TestMemoryLog(LogContract):
    @pytest.fixture
    def broker(self) -> MemoryBroker:
        return MemoryBroker()


class TestMemoryTasks(TaskContract):
    @pytest.fixture
    def network(self) -> MemoryNetwork:
        return MemoryNetwork()


def test_a_topic_that_was_made_anew_is_not_read_on_though_it_reaches_further(tmp_path: Path) -> None:
    network = MemoryNetwork()
    bench = TaskBench(network.broker, network.client, tmp_path)
    bench.publish(range(20))
    bench.run_dry()
    network.client.delete(TOPIC)
    network.client.admin().create(TOPIC, PARTITIONS, {})
    bench.publish(range(20, 90))
    bench.turn_until(lambda: len(bench.process.awaited) == PARTITIONS, "its tasks stand still")
    assert all("but that was deleted" in why for why in bench.process.awaited.values())
    bench.assert_each_once_and_in_order(range(20))
    bench.close()


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(now_ms=lambda: 77)
    broker.admin().create("t", 1, {})
    return broker


def values(broker: MemoryBroker) -> list[bytes | None]:
    return [record.value for record in broker.history(TP)]


def test_a_broker_that_is_away_is_told_and_keeps_its_data(broker: MemoryBroker) -> None:
    writer, reader, admin = broker.writer(), broker.reader(), broker.admin()
    write(writer, TP, b"a")
    reader.assign({TP: 0})
    broker.away = True
    with pytest.raises(BrokerAway):
        reader.poll(0, 10)
    with pytest.raises(BrokerAway):
        writer.send(TP, None, b"b", (), Acks())
    with pytest.raises(BrokerAway):
        admin.topics()
    broker.away = False
    assert [(record.value, record.timestamp_ms) for record in read(reader, 1)] == [(b"a", 77)]


def test_a_lost_acknowledgement_fails_all_in_flight_though_the_record_stands(broker: MemoryBroker) -> None:
    fates = iter([Fate.DELIVER, Fate.DELAY, Fate.LOSE_ACK, Fate.DELIVER])
    writer = broker.writer(lambda _tp, _key, _value: next(fates))
    acks = Acks()
    for value in (b"0", b"1", b"2", b"3"):
        writer.send(TP, None, value, (), acks)
    writer.drain(0)
    assert acks.offsets == [0, None, None, 2]
    assert [type(error) for error in acks.errors] == [SendFailed, SendFailed]
    assert values(broker) == [b"0", b"2", b"3"]
    [lane] = broker.lanes()
    broker.release(lane)  # what its writer gave up on comes late
    writer.drain(0)
    assert values(broker)[-1] == b"1"
    assert len(acks.offsets) == 4


def test_a_send_that_fails_does_not_stand_in_the_log(broker: MemoryBroker) -> None:
    fates = iter([Fate.FAIL, Fate.DELIVER])
    writer = broker.writer(lambda _tp, _key, _value: next(fates))
    acks = Acks()
    writer.send(TP, None, b"lost", (), acks)
    writer.send(TP, None, b"next", (), acks)
    writer.flush(0)
    assert acks.offsets == [None, 0]
    assert values(broker) == [b"next"]


def test_a_repeated_send_stands_twice_and_is_told_once(broker: MemoryBroker) -> None:
    writer = broker.writer(lambda _tp, _key, _value: Fate.REPEAT)
    assert write(writer, TP, b"x") == [0]
    assert values(broker) == [b"x", b"x"]


def test_what_follows_a_delayed_send_waits_behind_it(broker: MemoryBroker) -> None:
    fates = iter([Fate.DELAY, Fate.DELIVER])
    writer = broker.writer(lambda _tp, _key, _value: next(fates))
    acks = Acks()
    writer.send(TP, None, b"first", (), acks)
    writer.send(TP, None, b"second", (), acks)
    with pytest.raises(FlushTimedOut):
        writer.flush(0)
    assert values(broker) == []
    [lane] = broker.lanes()
    broker.release(lane)
    broker.release(lane)
    assert broker.lanes() == []
    writer.flush(0)
    assert values(broker) == [b"first", b"second"]
    assert acks.offsets == [0, 1]


def test_what_has_expired_is_out_of_range(broker: MemoryBroker) -> None:
    write(broker.writer(), TP, b"a", b"b", b"c")
    broker.expire(TP, 2)
    reader = broker.reader()
    reader.assign({TP: 0})
    with pytest.raises(OffsetOutOfRange, match="holds 2 to 3"):
        reader.poll(0, 10)
    reader.seek(TP, reader.beginning(TP))
    assert [record.value for record in read(reader, 1)] == [b"c"]
