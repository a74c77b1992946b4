"""An event's bytes: read back as written, and as the CloudEvents SDK reads them."""

from __future__ import annotations

import json
from calendar import timegm
from dataclasses import replace
from datetime import datetime

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import kafka
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.contracts.envelope import (
    NEVER_MS,
    Encoded,
    Event,
    Mark,
    Message,
    decode,
    encode,
    encode_mark,
    epoch_ms,
    rfc3339,
)
from shared.contracts.errors import UnreadableEvent
from tests import builders as b

EARLIEST_MS, LATEST_MS = -62_135_596_800_000, 253_402_300_799_999
texts = st.text(st.characters(exclude_categories=["Cs"]))
instants = st.integers(EARLIEST_MS, LATEST_MS)
counts = st.integers(0, 2**62)
values = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, max_size=4)
messages = st.builds(
    Message,
    id=texts,
    source=texts,
    time_ms=instants,
    key=texts,
    event=st.builds(b.accepted, record_id=texts, value=values),
    sequence=st.none() | counts,
    control=counts,
    trace=st.none() | texts,
)


@given(messages)
def test_an_event_reads_back_as_it_was_written(message: Message) -> None:
    encoded = encode(message)
    assert decode(encoded.key, encoded.value, encoded.headers) == message


@given(st.builds(Mark, source=texts, sequence=counts, watermark_ms=st.just(NEVER_MS) | instants, control=counts))
def test_a_mark_reads_back_as_it_was_written(mark: Mark) -> None:
    encoded = encode_mark(mark)
    assert decode(encoded.key, encoded.value, encoded.headers) == mark


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_every_bit(value: float) -> None:
    encoded = encode(b.message(b.prediction(value)))
    read = decode(encoded.key, encoded.value, encoded.headers)
    assert isinstance(read, Message)
    assert read.event == b.prediction(value)


@given(instants)
def test_times_are_whole_milliseconds_on_both_sides_of_1970(time_ms: int) -> None:
    assert epoch_ms(rfc3339(time_ms)) == time_ms


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (EARLIEST_MS, "0001-01-01T00:00:00.000Z"),
        (LATEST_MS, "9999-12-31T23:59:59.999Z"),
        (NEVER_MS, "0001-01-01T00:00:00.000Z"),
    ],
)
def test_times_are_written_by_rfc_3339(time_ms: int, text: str) -> None:
    assert rfc3339(time_ms) == text


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="no UTC offset"):
        epoch_ms("2026-11-21T10:00:00")


@pytest.mark.parametrize(
    "damage",
    [
        {"ce_type": b"headrace.nothing_known.v1"},
        {"ce_control": b"many"},
        {"ce_time": b"yesterday"},
        {"ce_id": b"\xff"},
        {"ce_type": None},
        {"ce_source": None},
        {"ce_id": None},
    ],
)
def test_what_is_no_event_of_ours_is_said_so(damage: dict[str, bytes | None]) -> None:
    encoded = encode(b.message(b.accepted()))
    headers = {**dict(encoded.headers), **damage}
    left = [(name, value) for name, value in headers.items() if value is not None]
    with pytest.raises(UnreadableEvent):
        decode(encoded.key, encoded.value, left)


@pytest.mark.parametrize("value", [None, b"", b"{", b"{}", b'{"source": 1}'])
def test_data_that_is_no_event_is_refused(value: bytes | None) -> None:
    encoded = encode(b.message(b.accepted()))
    with pytest.raises(UnreadableEvent):
        decode(encoded.key, value, encoded.headers)


def test_readers_ignore_fields_that_they_do_not_know() -> None:
    written = b.message(b.accepted())
    encoded = encode(written)
    newer = json.dumps({**json.loads(encoded.value or b""), "added_later": 1}).encode()
    assert decode(encoded.key, newer, encoded.headers) == written


def sdk_reads(encoded: Encoded) -> BaseCloudEvent:
    message = kafka.KafkaMessage(headers=dict(encoded.headers), key=encoded.key, value=encoded.value or b"")
    return kafka.from_binary_event(message)


@given(messages.filter(lambda message: bool(message.id and message.source)))
def test_the_sdk_reads_what_we_write(message: Message) -> None:
    event = sdk_reads(encode(message))

    extensions = {"control": str(message.control), "partitionkey": message.key}
    if message.sequence is not None:
        extensions["sequence"] = str(message.sequence)
    time = event.get_time()
    assert (event.get_id(), event.get_source(), event.get_type()) == (
        message.id,
        message.source,
        "headrace.record_accepted.v1",
    )
    assert event.get_specversion() == "1.0"
    assert event.get_datacontenttype() == "application/json"
    assert time is not None
    assert time == datetime.fromisoformat(rfc3339(message.time_ms))
    assert event.get_data() == message.event.model_dump(mode="json")
    assert {name: event.get_extension(name) for name in extensions} == extensions


def test_the_sdk_reads_a_mark() -> None:
    mark = Mark("ingestion/accept/intake.transactions.v1/0", 7, b.T0_MS, 12)
    event = sdk_reads(encode_mark(mark))
    assert event.get_type() == "headrace.mark.v1"
    assert event.get_source() == mark.source
    assert event.get_data() is None
    assert event.get_extension("watermark") == str(b.T0_MS)


def test_marks_of_equal_content_are_equal_bytes() -> None:
    mark = Mark("t", 7, b.T0_MS, 12)
    assert encode_mark(mark) == encode_mark(replace(mark))
    assert encode_mark(mark) != encode_mark(replace(mark, control=13))


OFFSETS = st.sampled_from(["Z", "+00:00", "+05:30", "-11:45", ""])


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)), st.booleans(), OFFSETS)  # noqa: DTZ001
def test_a_time_is_counted_as_the_standard_library_counts_it(moment: datetime, whole: bool, offset: str) -> None:
    text = moment.replace(microsecond=0 if whole else moment.microsecond).isoformat() + offset
    if not offset:
        with pytest.raises(ValueError, match="UTC offset"):
            epoch_ms(text)
        return
    at = datetime.fromisoformat(text)
    assert epoch_ms(text) == timegm(at.utctimetuple()) * 1000 + at.microsecond // 1000


EVENTS = [b.accepted(value={"x": 1.5, "y": None, "ü": "\n"}), b.prediction(), b.scored(), b.run_finished(), b.applied()]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_the_short_ways_to_json_and_back_are_those_of_pydantic(event: Event) -> None:
    assert event.as_json().decode() == event.model_dump_json()
    assert type(event).of_json(event.as_json()) == type(event).model_validate_json(event.as_json()) == event
    with pytest.raises(ValidationError):
        type(event).of_json(b"[]")
