"""Guards against what kafka-python 3.0.12 does to the unwary; docs/reliability.md names the traps."""

from __future__ import annotations

import gc
import logging
import os
import signal
import struct
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from deploy.kafka.cluster import KafkaCluster
from shared.runtime import kafka_writer
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_group import KafkaGroup
from shared.runtime.kafka_reader import KafkaReader
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_writer import MAX_IN_FLIGHT_BYTES, KafkaWriter
from shared.runtime.log import BrokerAway, Forked, LogError, SendFailed, TopicMissing, TopicPartition
from tests.conformance.log_contract import Acks, read, write
from tests.conformance.wire_proxy import Api, WireProxy

TP = TopicPartition("t", 0)
SLACK_S = 3.0  # on a busy machine


@pytest.fixture
def network(embedded_broker: str) -> Iterator[WireProxy]:
    """A way of its own to the broker."""
    with WireProxy(embedded_broker) as proxy:
        yield proxy


@pytest.fixture
def settings(network: WireProxy) -> KafkaSettings:
    """With topic `t` under a prefix of its own."""
    made = KafkaSettings(bootstrap=network.bootstrap, embedded=True, topic_prefix=f"{uuid.uuid4().hex[:8]}.")
    admin = KafkaBroker(made).admin()
    admin.create("t", 1, {})
    admin.close()
    return made


@pytest.fixture
def writer(settings: KafkaSettings) -> Iterator[KafkaWriter]:
    """It has sent a record already."""
    made = KafkaWriter(settings)
    write(made, TP, b"first")
    yield made
    made.close()


# --- the options that matter


def test_a_consumer_resets_commits_and_decodes_nothing_by_itself(settings: KafkaSettings) -> None:
    reader = KafkaReader(settings)
    reader.assign({TP: 0})
    reader.poll(0, 10)
    options: dict[str, Any] = vars(reader)["_consumer"].config
    assert options["auto_offset_reset"] == "none"
    assert options["enable_auto_commit"] is False
    assert options["check_crcs"] is True
    assert (options["key_deserializer"], options["value_deserializer"]) == (None, None)
    assert options["enable_incremental_fetch_sessions"] is False
    reader.close()


def test_a_producer_waits_for_all_replicas_and_sends_bytes_once(writer: KafkaWriter) -> None:
    options: dict[str, Any] = vars(writer)["_producer"].config
    assert (options["acks"], options["enable_idempotence"]) == (-1, True)
    assert (options["key_serializer"], options["value_serializer"]) == (None, None)
    assert options["delivery_timeout_ms"] == 30_000


# --- K5: whatever a broker does, a send returns; K6: what it leaves behind has a bound


def test_a_send_that_finds_no_room_returns_and_has_taken_nothing(
    network: WireProxy, writer: KafkaWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_writer, "MAX_IN_FLIGHT", 3)
    monkeypatch.setattr(kafka_writer, "ROOM_WITHIN_S", 1.0)
    acks = Acks()
    network.fall_silent()
    for _ in range(3):
        with within(0.5):
            writer.send(TP, b"k", b"v", (), acks)
    with within(kafka_writer.ROOM_WITHIN_S), pytest.raises(BrokerAway):
        writer.send(TP, b"k", b"v", (), acks)
    assert writer.in_flight() == 3
    network.mend()
    writer.flush(20)
    assert acks.offsets == [1, 2, 3]


def test_a_send_for_which_a_silent_broker_is_asked_first_returns(
    network: WireProxy, settings: KafkaSettings, writer: KafkaWriter
) -> None:
    network.fall_silent()
    with within(2.0), pytest.raises(TopicMissing):  # kafka-python does not say whether the broker answered
        writer.send(TopicPartition("unknown", 0), b"k", b"v", (), Acks())
    new = KafkaWriter(settings)
    with within(3.0), pytest.raises(BrokerAway):
        new.send(TP, b"k", b"v", (), Acks())


def test_what_is_in_flight_is_bounded_in_bytes(
    network: WireProxy, writer: KafkaWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_writer, "ROOM_WITHIN_S", 0.5)
    network.fall_silent()
    acks = Acks()

    def send_all() -> None:
        for _ in range(2 * MAX_IN_FLIGHT_BYTES // 900_000):
            writer.send(TP, b"k", b"x" * 900_000, (), acks)

    with pytest.raises(BrokerAway):
        send_all()
    taken = writer.in_flight()
    assert MAX_IN_FLIGHT_BYTES - 1_000_000 < taken * 900_000 <= MAX_IN_FLIGHT_BYTES
    network.mend()
    writer.flush(20)
    assert acks.offsets == list(range(1, taken + 1))


@contextmanager
def within(limit_s: float) -> Generator[None]:
    began_s = time.monotonic()
    yield
    assert time.monotonic() - began_s < limit_s + SLACK_S


# --- a repetition that the broker refuses as such is acknowledged without an offset


def test_an_acknowledgement_names_the_offset_or_fails(network: WireProxy, writer: KafkaWriter) -> None:
    answers = iter([ConnectionResetError("the answer is lost")])

    def lose_one(api: int, frame: bytes) -> bytes:
        if api == Api.PRODUCE and (lost := next(answers, None)):
            raise lost
        return frame

    network.answers = lose_one
    acks = Acks()
    writer.send(TP, b"k", b"second", (), acks)
    writer.flush(20)
    assert next(answers, None) is None
    # Apache Kafka tells the offset of a repetition; the embedded broker only that it is one.
    assert [type(error) for error in acks.errors] == [SendFailed]
    assert acks.offsets == [None]
    assert write(writer, TP, b"second") == [2]


# --- K7: no client is used in a fork of its process


def test_a_client_of_the_parent_is_refused_in_a_fork(settings: KafkaSettings, writer: KafkaWriter) -> None:
    broker = KafkaBroker(settings)
    reader, admin = broker.reader(), broker.admin()
    group = KafkaGroup(settings, "features", "a", 6.0)
    reader.assign({TP: 0})
    read(reader, 1)
    assert admin.partitions("t") == 1
    group.members()
    uses: list[Callable[[], object]] = [
        lambda: reader.poll(0.2, 10),
        lambda: reader.beginning(TP),
        lambda: admin.partitions("t"),
        lambda: writer.send(TP, b"k", b"v", (), Acks()),
        lambda: writer.drain(0.2),
        group.members,
    ]
    assert [in_a_fork(use) for use in uses] == [0] * len(uses)
    assert write(writer, TP, b"second") == [1]  # and the parent goes on
    assert [record.value for record in read(reader, 1)] == [b"second"]
    for one in (reader, admin):
        one.close()
    group.leave()


def in_a_fork(use: Callable[[], object]) -> int:
    """0 if it is refused there; 1 if it is not, 9 if it hangs."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with suppress(Forked):
                use()
                os._exit(1)
            code = 0
        finally:
            os._exit(code)
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return signal.SIGKILL


# --- the sender rests while there is nothing to send


def test_the_sender_does_not_ask_for_leaders_of_what_it_has_nothing_to_send_to(
    settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, writer = KafkaBroker(settings).admin(), KafkaWriter(settings)
    admin.create("gone", 1, {})
    write(writer, TP, b"a")
    write(writer, TopicPartition("gone", 0), b"b")
    producer: Any = vars(writer)["_producer"]
    metadata, asked = producer._metadata, list[float]()
    forgets_leaders(metadata, monkeypatch)
    update = metadata.request_update
    monkeypatch.setattr(metadata, "request_update", lambda: asked.append(time.monotonic()) or update())
    admin.create("new", 1, {})
    write(writer, TopicPartition("new", 0), b"c")
    asked.clear()
    time.sleep(1.0)
    assert len(asked) <= 5
    for one in (writer, admin):
        one.close()


def forgets_leaders(metadata: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on answers of the broker leave out what was written before, as after it was deleted."""
    known, leader = set(metadata._topics), metadata.leader_for_partition

    def of_the_rest(wire: Any) -> Any:
        return None if wire.topic in known else leader(wire)

    monkeypatch.setattr(metadata, "leader_for_partition", of_the_rest)


def test_a_topic_that_is_written_is_in_every_answer_about_leaders(settings: KafkaSettings, writer: KafkaWriter) -> None:
    metadata: Any = vars(writer)["_producer"]._metadata
    assert f"{settings.topic_prefix}t" in metadata._topics


# --- asking for a topic does not make it


def test_what_is_asked_for_is_not_made_even_where_the_broker_makes_topics(tmp_path: Path) -> None:
    with KafkaCluster(tmp_path, further={"auto.create.topics.enable": "true"}) as cluster:
        settings = KafkaSettings(bootstrap=cluster.bootstrap)
        broker = KafkaBroker(settings)
        reader, writer, admin = broker.reader(), broker.writer(), broker.admin()
        group = KafkaGroup(settings, "features", "a", 6.0)
        for n in range(3):
            with suppress(TopicMissing):
                reader.assign({TopicPartition("read", 0): 0})
                reader.poll(0.5, 10)
            with suppress(TopicMissing):
                reader.beginning(TopicPartition("begun", 0))
            with suppress(TopicMissing):
                writer.send(TopicPartition("written", 0), b"k", b"v", (), Acks())
            with suppress(LogError):
                group.members()
            assert admin.partitions(f"looked-for-{n}") is None
        made = admin.topics()
        for one in (reader, writer, admin):
            one.close()
        group.leave()
    assert [topic for topic in made if not topic.startswith("__")] == []


# --- a connection that is refused, or closed with something unsent, leaves nothing to the collector


def test_the_socket_of_a_refused_connection_is_closed(
    network: WireProxy, settings: KafkaSettings, writer: KafkaWriter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="kafka")  # a log line that is kept keeps its error, and that the socket
    broker = KafkaBroker(settings)
    reader, admin = broker.reader(), broker.admin()
    reader.assign({TP: 0})
    read(reader, 1)
    admin.topics()
    with leaving_no_socket():
        network.cut()
        until_s = time.monotonic() + 3
        while time.monotonic() < until_s:
            for use in (lambda: reader.poll(0.1, 10), lambda: writer.drain(0.1), admin.topics):
                with suppress(LogError):
                    use()
            gc.collect()
        for one in (reader, admin):
            one.close()


def test_the_socket_of_a_connection_that_is_closed_with_something_unsent_is_closed(
    network: WireProxy, settings: KafkaSettings, writer: KafkaWriter
) -> None:
    reader = KafkaReader(settings)
    reader.assign({TP: 0})
    read(reader, 1)
    network.fall_silent()
    with leaving_no_socket():
        for connection in list(vars(reader)["_consumer"]._client._manager._conns.values()):
            connection.transport.write(a_frame(8))  # the network reads it and then nothing more
            connection.transport.write(a_frame(20_000_000))  # more than what the system holds for a socket
            del connection
        reader.close()


@contextmanager
def leaving_no_socket() -> Generator[None]:
    """Whatever is let go within has closed its sockets itself."""
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(one.message) for one in told if "socket" in str(one.message)] == []


def a_frame(size: int) -> bytes:
    """A request that the broker would not understand."""
    return struct.pack(">ihhi", size, Api.METADATA, 0, 0) + bytes(size - 8)
