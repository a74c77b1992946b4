"""What every log must do, whatever stands behind the ports: memory, the embedded broker and Apache Kafka inherit it."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from shared.runtime.log import (
    Broker,
    LogRecord,
    OffsetOutOfRange,
    Reader,
    RecordTooLarge,
    SendError,
    TopicMissing,
    TopicPartition,
    Writer,
)

PATIENCE_S = 20.0


def until(reached: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Call until true; fail with `what` after `patience_s`."""
    deadline_s = time.monotonic() + patience_s
    while not reached():
        assert time.monotonic() < deadline_s, f"not within {patience_s} s: {what}"


def read(reader: Reader, count: int, max_records: int = 500) -> list[LogRecord]:
    """Exactly `count` records, in the order in which `poll` returns them."""
    found: list[LogRecord] = []

    def enough() -> bool:
        for records in reader.poll(0.2, max_records).values():
            found.extend(records)
        return len(found) >= count

    until(enough, f"{count} records, {len(found)} so far")
    assert len(found) == count
    return found


class Acks:
    """Collects what `on_done` is told."""

    def __init__(self) -> None:
        self.offsets: list[int | None] = []
        self.errors: list[SendError] = []

    def __call__(self, offset: int | None, error: SendError | None) -> None:
        self.offsets.append(offset)
        if error is not None:
            self.errors.append(error)


def write(writer: Writer, tp: TopicPartition, *values: bytes) -> list[int | None]:
    """Send `values` and wait; their offsets."""
    acks = Acks()
    for value in values:
        writer.send(tp, b"key", value, (), acks)
    writer.flush(PATIENCE_S)
    assert not acks.errors
    return acks.offsets


class LogContract:
    """Subclasses give the fixture `broker`."""

    @pytest.fixture
    def topic(self, broker: Broker) -> str:
        """A new topic of three partitions."""
        name = f"contract.{uuid.uuid4().hex[:12]}"
        admin = broker.admin()
        admin.create(name, 3, {})
        admin.close()
        return name

    @pytest.fixture
    def writer(self, broker: Broker) -> Iterator[Writer]:
        writer = broker.writer()
        yield writer
        writer.close()

    @pytest.fixture
    def reader(self, broker: Broker) -> Iterator[Reader]:
        reader = broker.reader()
        yield reader
        reader.close()

    def test_a_log_keeps_the_order_of_its_writer(self, topic: str, writer: Writer, reader: Reader) -> None:
        tp = TopicPartition(topic, 1)
        values = [b"%d" % i for i in range(2_000)]
        assert write(writer, tp, *values) == list(range(2_000))
        reader.assign({tp: 0})
        records = read(reader, 2_000, max_records=300)
        assert [record.value for record in records] == values
        assert [record.offset for record in records] == list(range(2_000))
        assert reader.position(tp) == 2_000

    def test_a_record_goes_to_the_partition_named(self, topic: str, writer: Writer, reader: Reader) -> None:
        for partition in (2, 0, 2):
            write(writer, TopicPartition(topic, partition), b"to %d" % partition)
        reader.assign({TopicPartition(topic, partition): 0 for partition in range(3)})
        records = read(reader, 3)
        assert sorted((record.partition, record.value) for record in records) == [
            (0, b"to 0"),
            (2, b"to 2"),
            (2, b"to 2"),
        ]
        assert {record.topic for record in records} == {topic}

    def test_keys_values_and_headers_come_back_as_given(self, topic: str, writer: Writer, reader: Reader) -> None:
        tp = TopicPartition(topic, 0)
        acks = Acks()
        headers = (("ce_type", b"x"), ("ce_type", b"again"), ("empty", b""), ("bytes", b"\x00\xff"))
        writer.send(tp, None, b"no key", (), acks)
        writer.send(tp, b"no value", None, headers, acks)
        writer.send(tp, b"", b"", (), acks)
        writer.flush(PATIENCE_S)
        reader.assign({tp: 0})
        told = [(record.key, record.value, record.headers) for record in read(reader, 3)]
        assert told == [(None, b"no key", ()), (b"no value", None, headers), (b"", b"", ())]

    def test_reading_again_from_a_position_gives_the_same(self, topic: str, writer: Writer, reader: Reader) -> None:
        tp = TopicPartition(topic, 0)
        write(writer, tp, *(b"%d" % i for i in range(50)))
        reader.assign({tp: 20})
        first = read(reader, 30)
        assert first[0].offset == 20
        reader.seek(tp, 20)
        assert reader.position(tp) == 20
        assert read(reader, 30) == first

    def test_a_log_that_is_kept_goes_on_and_a_new_one_starts_where_told(
        self, topic: str, writer: Writer, reader: Reader
    ) -> None:
        kept, new = TopicPartition(topic, 0), TopicPartition(topic, 1)
        write(writer, kept, b"a", b"b")
        write(writer, new, b"c", b"d")
        reader.assign({kept: 0})
        read(reader, 2)
        write(writer, kept, b"e")
        reader.assign({kept: 0, new: 1})
        assert {record.value for record in read(reader, 2)} == {b"d", b"e"}
        reader.assign({})
        assert reader.poll(0.05, 10) == {}

    def test_poll_returns_at_most_what_was_asked_for(self, topic: str, writer: Writer, reader: Reader) -> None:
        tp = TopicPartition(topic, 0)
        write(writer, tp, *(b"%d" % i for i in range(100)))
        reader.assign({tp: 0})
        sizes: list[int] = []

        def all_read() -> bool:
            sizes.append(sum(map(len, reader.poll(0.2, 7).values())))
            return sum(sizes) == 100

        until(all_read, "100 records")
        assert max(sizes) == 7

    def test_the_end_is_unknown_until_the_broker_answers_and_then_right(
        self, topic: str, writer: Writer, reader: Reader
    ) -> None:
        full, empty = TopicPartition(topic, 0), TopicPartition(topic, 1)
        write(writer, full, *(b"x" for _ in range(25)))  # one batch of several records
        reader.assign({full: 25, empty: 0})
        assert reader.end(full) is None
        until(lambda: reader.poll(0.1, 10) == {} and reader.end(full) == 25, "end 25")
        until(lambda: reader.poll(0.1, 10) == {} and reader.end(empty) == 0, "end 0")
        assert reader.beginning(full) == 0

    def test_the_end_is_reached_only_by_what_began_after_the_token(
        self, topic: str, writer: Writer, reader: Reader
    ) -> None:
        tp, idle = TopicPartition(topic, 0), TopicPartition(topic, 1)
        write(writer, tp, b"before")
        reader.assign({tp: 0, idle: 0})
        read(reader, 1)
        for value in (b"1", b"2", b"3"):
            write(writer, tp, value)
            token = reader.fetch_token()
            assert not reader.end_reached_since(tp, token)
            found: list[bytes | None] = []

            def reached(found: list[bytes | None] = found, token: int = token) -> bool:
                for records in reader.poll(0.5, 10).values():
                    found += [record.value for record in records]
                return reader.end_reached_since(tp, token) and reader.end_reached_since(idle, token)

            until(reached, "the end since the token")
            assert found == [value]
            assert not reader.end_reached_since(tp, reader.fetch_token())

    def test_the_end_is_not_reached_while_records_wait(self, topic: str, writer: Writer, reader: Reader) -> None:
        tp = TopicPartition(topic, 0)
        write(writer, tp, *(b"%d" % i for i in range(30)))
        reader.assign({tp: 0})
        token = reader.fetch_token()
        until(lambda: not reader.end_reached_since(tp, token) and bool(reader.poll(0.2, 10)), "the first ten")
        assert reader.position(tp) == 10
        assert not reader.end_reached_since(tp, token)

        def reached() -> bool:
            reader.poll(0.2, 10)
            return reader.end_reached_since(tp, token)

        until(reached, "the end")
        assert reader.position(tp) == 30

    def test_a_seek_takes_back_what_was_proved(self, topic: str, writer: Writer, reader: Reader) -> None:
        tp = TopicPartition(topic, 0)
        write(writer, tp, b"a", b"b")
        reader.assign({tp: 2})
        token = reader.fetch_token()
        until(lambda: reader.poll(0.2, 10) == {} and reader.end_reached_since(tp, token), "the end")
        reader.seek(tp, 0)
        assert not reader.end_reached_since(tp, token)
        assert len(read(reader, 2)) == 2

    def test_a_paused_log_waits_and_the_others_go_on(self, topic: str, writer: Writer, reader: Reader) -> None:
        paused, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
        write(writer, paused, *(b"p%d" % i for i in range(20)))
        reader.assign({paused: 0, other: 0})
        assert read(reader, 5, max_records=5)[0].value == b"p0"  # the rest waits in the buffer
        reader.pause([paused])
        write(writer, other, b"other")
        assert [record.value for record in read(reader, 1)] == [b"other"]
        assert reader.poll(0.3, 10) == {}
        assert reader.position(paused) == 5
        reader.resume([paused])
        assert [record.value for record in read(reader, 15)] == [b"p%d" % i for i in range(5, 20)]

    def test_creating_a_topic_twice_leaves_it_as_it_is(self, broker: Broker, topic: str) -> None:
        admin = broker.admin()
        admin.create(topic, 7, {})
        assert admin.partitions(topic) == 3
        assert topic in admin.topics()
        admin.close()

    def test_the_settings_of_a_topic_are_told(self, broker: Broker) -> None:
        admin, name = broker.admin(), f"contract.{uuid.uuid4().hex[:12]}"
        wanted = {"retention.ms": "-1", "cleanup.policy": "delete"}
        admin.create(name, 1, wanted)
        assert wanted.items() <= admin.settings(name).items()
        assert admin.settings(f"{name}.missing") == {}
        admin.close()

    def test_a_topic_that_is_missing_has_no_partitions(self, broker: Broker) -> None:
        admin = broker.admin()
        assert admin.partitions("contract.missing") is None
        assert "contract.missing" not in admin.topics()  # asking did not create it
        admin.close()

    def test_sending_to_a_missing_topic_or_partition_is_told(self, topic: str, writer: Writer) -> None:
        acks = Acks()
        for tp in (TopicPartition("contract.missing", 0), TopicPartition(topic, 3)):
            with pytest.raises(TopicMissing, match=re.escape(tp.topic)):
                writer.send(tp, b"k", b"v", (), acks)
        assert writer.in_flight() == 0
        assert acks.offsets == []

    def test_reading_a_missing_topic_is_told(self, reader: Reader) -> None:
        reader.assign({TopicPartition("contract.missing", 0): 0})
        with pytest.raises(TopicMissing, match=r"contract\.missing"):
            until(lambda: bool(reader.poll(0.5, 10)), "TopicMissing")

    def test_a_position_that_is_not_in_the_log_is_told(self, topic: str, writer: Writer, reader: Reader) -> None:
        tp = TopicPartition(topic, 0)
        write(writer, tp, b"a", b"b", b"c")
        reader.assign({tp: 500})
        for _ in range(2):  # it stays wrong until somebody mends it
            with pytest.raises(OffsetOutOfRange) as caught:
                until(lambda: bool(reader.poll(0.5, 10)), "OffsetOutOfRange")
            assert (caught.value.tp, caught.value.asked, caught.value.beginning) == (tp, 500, 0)
        reader.seek(tp, 1)
        assert [record.value for record in read(reader, 2)] == [b"b", b"c"]

    def test_a_record_that_is_too_large_fails_alone(self, topic: str, writer: Writer, reader: Reader) -> None:
        tp = TopicPartition(topic, 0)
        small, large = Acks(), Acks()
        writer.send(tp, b"k", b"before", (), small)
        writer.send(tp, b"k", b"x" * 1_100_000, (), large)
        writer.send(tp, b"k", b"after", (), small)
        writer.flush(PATIENCE_S)
        assert isinstance(large.errors[0], RecordTooLarge)
        assert "1100" in str(large.errors[0])
        assert small.offsets == [0, 1]
        reader.assign({tp: 0})
        assert [record.value for record in read(reader, 2)] == [b"before", b"after"]

    def test_callbacks_run_only_where_the_caller_asks(self, topic: str, writer: Writer) -> None:
        acks = Acks()
        for _ in range(10):
            writer.send(TopicPartition(topic, 0), b"k", b"v", (), acks)
        time.sleep(0.3)
        assert acks.offsets == []
        assert writer.in_flight() == 10
        until(lambda: writer.drain(0.5) is None and writer.in_flight() == 0, "ten acknowledgements")
        assert acks.offsets == list(range(10))
