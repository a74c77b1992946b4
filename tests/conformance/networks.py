"""Between a service and its broker: the faults that tests ask for, in memory and on the wire."""

from __future__ import annotations

import time
from queue import SimpleQueue

from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_clients.producer import Producer
from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_records import content_of
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import Completion, Ticket
from shared.runtime.kafka_writer import KafkaWriter
from shared.runtime.log import SendError, TopicPartition
from shared.runtime.memory_log import Fate, MemoryAdmin, MemoryBroker, MemoryReader, MemoryWriter
from shared.runtime.process import Process
from tests.conformance.wire_proxy import Api, WireProxy, pass_on


class MemoryNetwork:
    """To a broker in memory. While that is away, it is so for everybody."""

    def __init__(self) -> None:
        self.client = MemoryBroker(lambda: time.time_ns() // 1_000_000)
        self.broker = _ServiceSide(self.client)

    def lose_sends(self) -> None:
        self.broker.fate = Fate.FAIL

    def fail_sends(self, process: Process) -> None:
        self.broker.fate = Fate.DELIVER

    def go_away(self) -> None:
        self.client.away = True

    def come_back(self) -> None:
        self.client.away = False

    def write_large(self, tp: TopicPartition, value: bytes) -> None:
        self.client.append(tp, b"k", value, ())


class _ServiceSide:
    """The broker in memory as the service sees it."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self.fate = Fate.DELIVER

    def reader(self) -> MemoryReader:
        return self._broker.reader()

    def writer(self) -> MemoryWriter:
        return self._broker.writer(lambda _tp, _key, _value: self.fate)

    def admin(self) -> MemoryAdmin:
        return self._broker.admin()


class WireNetwork:
    """To a broker over TCP, by a way that can be cut; `client` takes another. Close it in the end."""

    def __init__(self, bootstrap: str, *, embedded: bool, prefix: str) -> None:
        self.proxy = WireProxy(bootstrap)
        self.proxy.mend()
        self._direct = KafkaSettings(bootstrap=bootstrap, embedded=embedded, topic_prefix=prefix)
        self.client = KafkaBroker(self._direct)
        self.broker = KafkaBroker(KafkaSettings(bootstrap=self.proxy.bootstrap, embedded=embedded, topic_prefix=prefix))

    def wire_name(self, topic: str) -> str:
        """As the topic is called on the wire."""
        return self._direct.topic_prefix + topic

    def lose_sends(self) -> None:
        self.proxy.requests = lambda api, frame: None if api == Api.PRODUCE else frame

    def fail_sends(self, process: Process) -> None:
        """What the delivery timeout leads to half a minute later."""
        assert isinstance(process.writer, KafkaWriter)
        producer = process.writer._producer
        assert producer is not None
        producer._sender.force_close()  # pyright: ignore[reportAttributeAccessIssue]
        producer._sender.join(10)  # pyright: ignore[reportAttributeAccessIssue]
        assert producer.failure is not None
        self.proxy.requests = pass_on

    def go_away(self) -> None:
        self.proxy.cut()

    def come_back(self) -> None:
        self.proxy.mend()

    def write_large(self, tp: TopicPartition, value: bytes) -> None:
        done: SimpleQueue[Completion] = SimpleQueue()
        producer = Producer(self._direct, done.put)
        ticket = Ticket(tp, len(value), _nobody)
        assert producer.put(WirePartition(self.wire_name(tp.topic), tp.partition), content_of(b"k", value, ()), ticket)
        assert done.get(timeout=30).error is None
        producer.close()

    def close(self) -> None:
        self.proxy.cut()


def _nobody(_offset: int | None, _error: SendError | None) -> None:
    """Nobody waits for the news."""
