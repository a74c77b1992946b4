"""The embedded broker keeps the contract, and what it forgets is told."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from deploy.local.embedded import EmbeddedBroker
from shared.contracts.errors import ForeignLog
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_reader import KafkaReader
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import (
    BrokerAway,
    LogError,
    OffsetOutOfRange,
    SendError,
    SendFailed,
    TopicMissing,
    TopicPartition,
    Writer,
)
from tests.conformance.log_contract import Acks, LogContract, read, until, write
from tests.conformance.networks import WireNetwork
from tests.conformance.task_bench import PATIENCE_S, TAKEN, TaskBench
from tests.conformance.task_contract import TaskContract
from tests.conformance.wire_contract import WireContract

TP = TopicPartition("t", 0)


class TestEmbeddedLog(LogContract):
    @pytest.fixture
    def broker(self, embedded_broker: str) -> KafkaBroker:
        return KafkaBroker(KafkaSettings(bootstrap=embedded_broker, embedded=True))


class TestEmbeddedTasks(TaskContract, WireContract):
    @pytest.fixture
    def network(self, embedded_broker: str) -> Iterator[WireNetwork]:
        network = WireNetwork(embedded_broker, embedded=True, prefix=f"{uuid.uuid4().hex[:8]}.")
        yield network
        network.close()


def test_topics_stand_under_the_prefix(embedded_broker: str) -> None:
    prefixed = KafkaBroker(KafkaSettings(bootstrap=embedded_broker, embedded=True, topic_prefix="team-a."))
    bare = KafkaBroker(KafkaSettings(bootstrap=embedded_broker, embedded=True))
    prefixed.admin().create("t.prefixed", 1, {})
    tp = TopicPartition("t.prefixed", 0)
    writer, reader = prefixed.writer(), prefixed.reader()
    write(writer, tp, b"x")
    reader.assign({tp: 0})
    assert read(reader, 1)[0].topic == "t.prefixed"
    admin = bare.admin()
    assert "team-a.t.prefixed" in admin.topics()
    assert admin.partitions("t.prefixed") is None
    for one in (writer, reader, admin):
        one.close()


def test_a_broker_that_was_never_there_is_told_at_once() -> None:
    with EmbeddedBroker() as gone:
        bootstrap = gone.bootstrap
    broker = KafkaBroker(KafkaSettings(bootstrap=bootstrap, embedded=True))
    reader, writer, admin = broker.reader(), broker.writer(), broker.admin()
    reader.assign({TP: 0})
    began_s = time.monotonic()
    with pytest.raises(BrokerAway, match=bootstrap):
        reader.poll(1, 10)
    with pytest.raises(BrokerAway):
        writer.send(TP, None, b"x", (), Acks())
    with pytest.raises(BrokerAway):
        admin.partitions("t")
    assert time.monotonic() - began_s < 3


def test_a_broker_that_comes_back_empty_is_told_as_another_log() -> None:
    with EmbeddedBroker() as process, ExitStack() as ends:
        broker = KafkaBroker(KafkaSettings(bootstrap=process.bootstrap, embedded=True))
        admin, writer, reader = broker.admin(), broker.writer(), broker.reader()
        for one in (writer, reader, admin):
            ends.callback(one.close)
        admin.create("t", 1, {})
        write(writer, TP, b"a", b"b", b"c")
        reader.assign({TP: 0})
        read(reader, 3)
        process.kill()
        with pytest.raises(BrokerAway):
            until(lambda: bool(reader.poll(0.5, 10)), "BrokerAway")
        process.start()
        # Which of the two depends on what the client asks for first. It answers for a topic that it has not as if that
        # were empty; once the client has asked which topics there are, it asks for that one no more.
        with pytest.raises((OffsetOutOfRange, TopicMissing)):
            _poll_past(lambda: reader.poll(0.5, 10), meanwhile=BrokerAway)
        admin.create("t", 1, {})
        assert _send_until_taken(writer) == 0


def test_tasks_stop_when_the_broker_has_forgotten_their_log_and_touch_no_other(tmp_path: Path) -> None:
    with EmbeddedBroker() as process, ExitStack() as ends:
        broker = KafkaBroker(KafkaSettings(bootstrap=process.bootstrap, embedded=True))
        bench = TaskBench(broker, broker, tmp_path)
        ends.callback(bench.close)
        bench.publish(range(20))
        bench.run_dry()
        process.kill()
        bench.turn_until_away()
        process.start()
        with pytest.raises(ForeignLog, match=r"the broker has forgotten log .*headrace up --fresh"):
            bench.turn_for(PATIENCE_S)
        bench.found("22222222-2222-8222-8222-222222222222")
        bench.kill()
        bench.start()
        with pytest.raises(ForeignLog, match=r"was made beside log 1111.* the broker holds log 2222.*--fresh"):
            bench.turn_for(PATIENCE_S)
        assert [len(records) for records in bench.log(TAKEN).values()] == []


def test_a_topic_of_which_the_broker_knows_no_more_is_told_as_missing() -> None:
    with EmbeddedBroker() as process, ExitStack() as ends:
        reader = KafkaReader(KafkaSettings(bootstrap=process.bootstrap, embedded=True))
        ends.callback(reader.close)
        admin = KafkaBroker(KafkaSettings(bootstrap=process.bootstrap, embedded=True)).admin()
        ends.callback(admin.close)
        admin.create("t", 1, {})
        reader.assign({TP: 0})
        reader.poll(0.5, 10)
        process.kill()
        with pytest.raises(BrokerAway):
            until(lambda: bool(reader.poll(0.5, 10)), "BrokerAway")
        consumer: Any = reader._consumer
        assert consumer is not None
        consumer._cluster._partitions = {}  # so that it first asks which topics there are
        process.start()
        with pytest.raises(TopicMissing):
            _poll_past(lambda: reader.poll(0.5, 10), meanwhile=BrokerAway)


def _poll_past(poll: Callable[[], object], meanwhile: type[LogError]) -> None:
    def nothing() -> bool:
        with suppress(meanwhile):
            poll()
        return False

    until(nothing, f"an error other than {meanwhile.__name__}", patience_s=30)


def _send_until_taken(writer: Writer) -> int:
    taken: list[int] = []

    def on_done(offset: int | None, error: SendError | None) -> None:
        if offset is not None:
            taken.append(offset)

    def sent() -> bool:
        writer.send(TP, b"k", b"again", (), on_done)
        writer.flush(10)
        return bool(taken)

    until(sent, "a send that is taken", patience_s=40)
    return taken[0]


def test_after_a_failed_send_all_in_flight_is_told_and_a_new_producer_goes_on() -> None:
    with EmbeddedBroker() as process:
        broker = KafkaBroker(KafkaSettings(bootstrap=process.bootstrap, embedded=True))
        admin, writer = broker.admin(), broker.writer()
        admin.create("t", 1, {})
        write(writer, TP, b"a")
        process.kill()
        acks = Acks()
        for value in (b"b", b"c", b"d"):
            writer.send(TP, b"k", value, (), acks)
        first = writer._producer
        assert first is not None
        first._sender.force_close()  # pyright: ignore[reportAttributeAccessIssue] - what the delivery timeout leads to half a minute later
        until(lambda: writer.drain(0.5) is None and writer.in_flight() == 0, "three failures")
        assert acks.offsets == [None, None, None]
        assert {type(error) for error in acks.errors} == {SendFailed}
        with pytest.raises(BrokerAway):
            writer.send(TP, b"k", b"e", (), acks)
        process.start()
        admin.create("t", 1, {})
        assert write(writer, TP, b"b", b"c") == [0, 1]
        assert writer._producer is not first
        for one in (writer, admin):
            one.close()
