"""What stands in the logs now is read, and a reader that gets no answer is not waited for for ever."""

from __future__ import annotations

import time

import pytest

from shared.runtime.log import Reader, TopicPartition
from shared.runtime.memory_log import MemoryBroker
from shared.runtime.to_the_end import to_the_end
from tests.conformance.log_contract import write

TP, EMPTY = TopicPartition("t", 0), TopicPartition("empty", 0)


def reader_of_eight() -> Reader:
    broker = MemoryBroker()
    broker.admin().create(TP.topic, 1, {})
    write(broker.writer(), TP, *(str(n).encode() for n in range(8)))
    reader = broker.reader()
    reader.assign({TP: 0})
    return reader


def test_all_is_read_from_the_reader_s_position_on() -> None:
    broker = MemoryBroker()
    for tp in (TP, EMPTY):
        broker.admin().create(tp.topic, 1, {})
    write(broker.writer(), TP, *(str(n).encode() for n in range(7)))
    reader = broker.reader()
    reader.assign({TP: 2, EMPTY: 0})
    found = [record.value for _, records in to_the_end(reader, [TP, EMPTY], silent_s=5, most=3) for record in records]
    assert found == [b"2", b"3", b"4", b"5", b"6"]


def test_ends_that_are_not_reached_in_time_are_told() -> None:
    reader = reader_of_eight()
    reader.pause([TP])
    with pytest.raises(TimeoutError, match="nothing was read for 0"):
        list(to_the_end(reader, [TP], silent_s=0.05, wait_s=0.01))


def test_logs_that_take_long_are_read_to_their_ends() -> None:
    """The limit is one of silence: neither a long log nor a caller that takes its time is cut off."""
    reader = reader_of_eight()
    found = 0
    for _, records in to_the_end(reader, [TP], silent_s=0.05, wait_s=0.0, most=1):
        found += len(records)
        time.sleep(0.02)
    assert found == 8


def test_a_log_that_goes_on_does_not_hide_one_that_is_silent() -> None:
    broker = MemoryBroker()
    for tp in (TP, EMPTY):
        broker.admin().create(tp.topic, 1, {})
    writer, reader = broker.writer(), broker.reader()
    reader.assign({TP: 0, EMPTY: 0})
    reader.pause([EMPTY])
    write(writer, TP, b"0")

    def read_while_written() -> None:
        for n, _ in enumerate(to_the_end(reader, [TP, EMPTY], silent_s=0.2, wait_s=0.01)):
            write(writer, TP, str(n).encode())

    with pytest.raises(TimeoutError, match="with the ends of empty still ahead"):
        read_while_written()


def test_the_whole_has_a_limit_where_one_is_wanted() -> None:
    reader = reader_of_eight()

    def read_slowly() -> None:
        for _ in to_the_end(reader, [TP], silent_s=5, within_s=0.05, wait_s=0.0, most=1):
            time.sleep(0.02)

    with pytest.raises(TimeoutError, match="the ends of t were not reached in 0"):
        read_slowly()
