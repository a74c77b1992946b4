"""A poll that waits is woken by whatever another thread has for its own, and costs next to nothing meanwhile."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_reader import KafkaReader
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_writer import KafkaWriter
from shared.runtime.log import LogError, TopicPartition
from tests.conformance.log_contract import Acks, read, write
from tests.conformance.wire_proxy import WireProxy

TP = TopicPartition("t", 0)
LONG_S = 20.0
SOON_S = 5.0  # on a busy machine


@pytest.fixture
def network(embedded_broker: str) -> Iterator[WireProxy]:
    with WireProxy(embedded_broker) as proxy:
        yield proxy


@pytest.fixture
def settings(network: WireProxy) -> KafkaSettings:
    """With topic `t`, which holds one record, under a prefix of its own."""
    made = KafkaSettings(bootstrap=network.bootstrap, embedded=True, topic_prefix=f"{uuid.uuid4().hex[:8]}.")
    broker = KafkaBroker(made)
    admin, writer = broker.admin(), broker.writer()
    admin.create("t", 1, {})
    write(writer, TP, b"first")
    for one in (admin, writer):
        one.close()
    return made


@pytest.fixture
def reader(settings: KafkaSettings) -> Iterator[KafkaReader]:
    """It has read all that is there."""
    made = KafkaReader(settings)
    made.assign({TP: 0})
    read(made, 1)
    yield made
    made.close()


def seconds(use: Callable[[], object]) -> float:
    began_s = time.monotonic()
    use()
    return time.monotonic() - began_s


@pytest.mark.parametrize("state", ["at the end of the log", "paused", "assigned nothing"])
def test_a_poll_that_waits_is_woken_by_another_thread(reader: KafkaReader, state: str) -> None:
    if state == "paused":
        reader.pause([TP])
    if state == "assigned nothing":
        reader.assign({})
    timer = threading.Timer(0.3, reader.wake)
    timer.start()
    assert 0.25 < seconds(lambda: reader.poll(LONG_S, 10)) < SOON_S
    timer.join()


def test_a_wake_that_comes_before_the_poll_counts_once(reader: KafkaReader) -> None:
    reader.wake()
    assert seconds(lambda: reader.poll(LONG_S, 10)) < SOON_S
    assert seconds(lambda: reader.poll(0.5, 10)) > 0.45


def test_acknowledgements_are_told_when_they_are_there(settings: KafkaSettings, reader: KafkaReader) -> None:
    writer = KafkaWriter(settings)
    write(writer, TP, b"second")
    read(reader, 1)
    writer.on_answers(reader.wake)
    reader.pause([TP])
    acks = Acks()
    writer.send(TP, b"k", b"third", (), acks)
    assert seconds(lambda: reader.poll(LONG_S, 10)) < SOON_S
    writer.drain(0)
    assert acks.offsets == [2]
    writer.close()


STATES: dict[str, Callable[[KafkaReader, WireProxy], None]] = {
    "at the end of the log": lambda reader, network: None,
    "paused": lambda reader, network: reader.pause([TP]),
    "assigned nothing": lambda reader, network: reader.assign({}),
    "the broker is silent": lambda reader, network: network.fall_silent(),
    "the broker is away": lambda reader, network: network.cut(),
    "a topic is missing": lambda reader, network: reader.assign({TP: 1, TopicPartition("missing", 0): 0}),
}


@pytest.mark.parametrize("state", STATES)
def test_a_poll_that_waits_does_not_spin(reader: KafkaReader, network: WireProxy, state: str) -> None:
    reader.poll(1.0, 10)
    STATES[state](reader, network)
    began_s, used_s = time.monotonic(), time.process_time()
    while time.monotonic() - began_s < 3:
        with suppress(LogError):
            reader.poll(1.0, 10)
            continue
        time.sleep(0.2)  # as the driver does
    assert time.process_time() - used_s < 0.2 * (time.monotonic() - began_s)
