"""Records of Kafka's format: written as kafka-python writes them, read as it reads them, whatever stands in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from shared.runtime.kafka_records import Frame, content_of, record_of, records_in
from shared.runtime.log import LogRecord, TopicPartition

TP = TopicPartition("t", 3)
FIRST_OFFSET, FIRST_MS = 7_000, 1_790_000_000_000
HEADER_BYTES = DefaultRecordBatchBuilder.header_size_in_bytes()
# Many headers that are alike, some that are not, names and contents of one and of several bytes of length.
NAMES = st.sampled_from(["ce_id", "ce_type", "größe", "x" * 64, ""])
CONTENTS = st.sampled_from([b"", b"1.0", b"\x00", b"y" * 63, b"y" * 64, b"z" * 9_000]) | st.binary(max_size=80)
HEADERS = st.lists(st.tuples(NAMES, CONTENTS), max_size=6).map(tuple)
RECORDS = st.lists(
    st.tuples(
        st.integers(0, 1 << 40), st.none() | CONTENTS, st.none() | CONTENTS,
        HEADERS | st.just((("a", b"1"), ("b", b"2"), ("c", b"3"))),
    ),
    min_size=1, max_size=12,
)  # fmt: skip

Given = list[tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]]


def theirs(records: Given) -> bytes:
    """The batch that kafka-python makes."""
    builder: Any = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 26)
    for offset, (ms, key, value, headers) in enumerate(records):
        assert builder.append(offset, FIRST_MS + ms, key, value, list(headers)) is not None
    return bytes(builder.build())


def ours(records: Given) -> bytes:
    """The records alone."""
    first = records[0][0]
    made = (record_of(n, ms - first, content_of(k, v, headers)) for n, (ms, k, v, headers) in enumerate(records))
    return b"".join(made)


def frame(records: Given, append_ms: int | None = None) -> Frame:
    return Frame(TP, FIRST_OFFSET, FIRST_MS + records[0][0], append_ms, len(records))


@given(RECORDS)
@example([(0, None, None, ())])
def test_they_are_written_as_kafka_python_writes_them(records: Given) -> None:
    assert ours(records) == theirs(records)[HEADER_BYTES:]


@given(RECORDS)
def test_they_are_read_as_kafka_python_reads_them(records: Given) -> None:
    batch: Any = theirs(records)
    read = [
        LogRecord(TP.topic, TP.partition, FIRST_OFFSET + r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
        for r in DefaultRecordBatch(batch)
    ]
    assert list(records_in(batch[HEADER_BYTES:], frame(records))) == read


@given(RECORDS)
def test_where_the_topic_takes_the_brokers_time_they_all_have_it(records: Given) -> None:
    assert {record.timestamp_ms for record in records_in(ours(records), frame(records, 5))} == {5}


@given(RECORDS, st.data())
def test_bytes_that_are_no_records_raise_what_the_reader_expects(records: Given, data: st.DataObject) -> None:
    damaged = bytearray(ours(records))
    if data.draw(st.booleans()):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
        with pytest.raises((ValueError, IndexError)):
            list(records_in(bytes(damaged), frame(records)))
        return
    try:
        found = list(records_in(bytes(damaged), frame(records)))
    except (ValueError, IndexError):
        return
    assert len(found) == len(records)


def test_headers_are_alike_only_as_far_as_they_are() -> None:
    event = (("ce_type", b"event"), ("ce_source", b"s"), ("ce_id", b"%d"))
    mark = (("ce_type", b"mark"), ("ce_source", b"s"))
    less = (("ce_type", b"event"),)
    given_: Given = [(n, b"k", b"v", one) for n, one in enumerate((event, event, mark, event, less, event, (), event))]
    assert [record.headers for record in records_in(ours(given_), frame(given_))] == [one[3] for one in given_]


def test_records_that_look_like_headers_are_none() -> None:
    # Behind the one header of the third stand two empty records, byte for byte what headers of the first two are.
    looks_like = ("\0\0\6\1\1\0", b"\0\0\x08\1\1\0")
    all_headers = (one := ("a", b""), looks_like), (one, looks_like), (one,), (), ()
    given_: Given = [(0, None, None, headers) for headers in all_headers]
    assert [record.headers for record in records_in(ours(given_), frame(given_))] == list(all_headers)


def test_a_header_without_a_value_has_no_bytes() -> None:
    builder: Any = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 20)
    headers: list[Any] = [("a", None), ("b", b"2")]
    builder.append(0, FIRST_MS, None, b"v", headers)
    [record] = records_in(bytes(builder.build())[HEADER_BYTES:], Frame(TP, 0, FIRST_MS, None, 1))
    assert record.headers == (("a", b""), ("b", b"2"))
