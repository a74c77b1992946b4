"""What users publish: plain JSON, and both forms of CloudEvents as the SDK writes them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.flow import RejectReason
from shared.runtime.cloud_events import MalformedRecord, UserRecord, read_record, trace_of

DATA = {"transaction_id": "t1", "card_id": "Ünïcode 漢字", "amount": 12.5, "at": 1_790_000_000_000}
ATTRIBUTES: dict[str, Any] = {
    "id": "e-1",
    "source": "/shop/till-3",
    "type": "com.shop.paid",
    "specversion": "1.0",
    "time": datetime(2026, 11, 21, 10, 0, tzinfo=UTC),
    "datacontenttype": "application/json",
    "subject": "card",
    "partitionkey": "c1",
    "region": "eu",
}
READ = {**ATTRIBUTES, "time": "2026-11-21T10:00:00Z"}

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
records = st.dictionaries(texts, scalars | texts | st.lists(scalars | texts, max_size=3), max_size=5)


def read(message: kafka.KafkaMessage) -> UserRecord:
    key = message.key.encode() if isinstance(message.key, str) else message.key
    return read_record(key, message.value, list(message.headers.items()))


@given(records)
def test_plain_json(data: dict[str, Any]) -> None:
    text = json.dumps(data)
    assert read_record(b"any", text.encode()) == UserRecord(data, text)


@given(records)
def test_what_the_sdk_writes_in_binary_mode(data: dict[str, Any]) -> None:
    record = read(kafka.to_binary_event(CloudEvent(ATTRIBUTES, data)))
    assert record.data == data
    assert json.loads(record.text) == data
    assert record.attributes == READ


@given(records)
def test_what_the_sdk_writes_in_structured_mode(data: dict[str, Any]) -> None:
    record = read(kafka.to_structured_event(CloudEvent(ATTRIBUTES, data)))
    assert record.data == data
    assert json.loads(record.text) == data
    assert record.attributes == READ


def test_binary_data_of_a_structured_event() -> None:
    record = read(kafka.to_structured_event(CloudEvent(ATTRIBUTES, json.dumps(DATA).encode())))
    assert record.data == DATA


def test_header_names_and_media_types_in_any_case() -> None:
    headers = [("CE_SpecVersion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"s"), ("ce_type", b"t")]
    record = read_record(None, b"{}", [*headers, ("Content-Type", b"Application/JSON; charset=utf-8")])
    assert record.attributes["datacontenttype"] == "Application/JSON; charset=utf-8"
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": {"a": 1}}
    structured = read_record(None, json.dumps(event).encode(), [("Content-Type", b"application/CloudEvents+json;v=1")])
    assert structured.data == {"a": 1}


def test_other_headers_do_not_make_a_cloud_event() -> None:
    headers = [("traceparent", b"00-1"), ("content-type", b"text/plain"), ("empty", None)]
    assert read_record(b"\xff", b'{"a": 1}', headers).attributes == {}


def test_a_key_that_is_no_text_is_no_attribute() -> None:
    message = kafka.to_binary_event(CloudEvent({k: v for k, v in ATTRIBUTES.items() if k != "partitionkey"}, DATA))
    assert "partitionkey" not in read_record(b"\xff\xfe", message.value, list(message.headers.items())).attributes
    assert read_record(b"c9", message.value, list(message.headers.items())).attributes["partitionkey"] == "c9"


BINARY = {"ce_specversion": b"1.0", "ce_id": b"1", "ce_source": b"s", "ce_type": b"t"}


@pytest.mark.parametrize(
    ("value", "headers", "said"),
    [
        (None, {}, "tombstone"),
        (b"", {}, "no JSON"),
        (b"{", {}, "no JSON"),
        (b'{"a": NaN}', {}, "no JSON"),
        (b'{"a": "\\ud800"}', {}, "no JSON"),
        (b"\xff\xfe", {}, "no JSON"),
        (b"{}", {"ce_id": b"1"}, "specversion is missing"),
        (b"{}", {**BINARY, "ce_id": b""}, "id is missing or empty"),
        (b"{}", {**BINARY, "ce_specversion": b"0.3"}, "CloudEvents 0.3 is not understood"),
        (b"{}", {**BINARY, "ce_time": b"soon"}, "no RFC 3339 time"),
        (b"{}", {**BINARY, "ce_time": b"2026-11-21T10:00:00"}, "no UTC offset"),
        (b"{}", {**BINARY, "ce_two_words": b"1"}, "must be of a-z and 0-9"),
        (b"{}", {**BINARY, "ce_source": b"\xff"}, "header ce_source is no UTF-8"),
        (b"<a/>", {**BINARY, "content-type": b"application/xml"}, "application/xml is not understood"),
        (b"", BINARY, "has no data"),
    ],
)
def test_malformed_records_say_why(value: bytes | None, headers: dict[str, bytes], said: str) -> None:
    with pytest.raises(MalformedRecord, match=said) as raised:
        read_record(None, value, list(headers.items()))
    assert raised.value.reason is RejectReason.UNDECODABLE
    assert raised.value.detail == str(raised.value)


EVENT = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": {"a": 1}}


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ([EVENT], "JSON object"),
        ({**EVENT, "data": None}, "has no data"),
        ({**EVENT, "source": None}, "source is missing"),
        ({**EVENT, "id": 1.5}, "id is no text"),
        ({**EVENT, "data_base64": "e30="}, "not both"),
        ({**EVENT, "data": None, "data_base64": "e3"}, "no base64"),
        ({**EVENT, "data": None, "data_base64": base64.b64encode(b"{").decode()}, "no JSON"),
        ({**EVENT, "datacontenttype": "text/csv"}, "text/csv is not understood"),
    ],
)
def test_malformed_structured_events_say_why(event: Any, said: str) -> None:
    with pytest.raises(MalformedRecord, match=said):
        read_record(None, json.dumps(event).encode(), [("content-type", b"application/cloudevents+json")])


@pytest.mark.parametrize("media_type", [b"application/cloudevents+avro", b"application/cloudevents-batch+json"])
def test_other_structured_formats_are_refused(media_type: bytes) -> None:
    with pytest.raises(MalformedRecord, match=r"publish application/cloudevents\+json"):
        read_record(None, b"[]", [("content-type", media_type)])


A, B = f"00-{'a' * 32}-{'1' * 16}-01", f"00-{'b' * 32}-{'2' * 16}-00"


@pytest.mark.parametrize(
    ("headers", "attributes", "trace"),
    [
        ([], {}, None),
        ([("traceparent", A.encode())], {}, A),
        ([("TraceParent", A.encode())], {}, A),
        ([("ce_traceparent", A.encode())], {}, A),
        ([], {"traceparent": A}, A),
        ([("ce_traceparent", B.encode()), ("traceparent", A.encode())], {"traceparent": B}, A),
        ([("traceparent", b"00-1"), ("ce_traceparent", B.encode())], {}, B),
        ([("traceparent", A.encode()), ("traceparent", B.encode())], {}, None),
        ([("traceparent", b"\xff\xfe"), ("empty", None)], {"traceparent": "no"}, None),
    ],
)
def test_the_trace_of_a_record_is_that_of_its_header_else_of_its_event(
    headers: list[tuple[str, bytes | None]], attributes: dict[str, str], trace: str | None
) -> None:
    assert trace_of(headers, attributes) == trace


def test_the_sdk_writes_a_trace_where_it_is_read() -> None:
    for write in (kafka.to_binary_event, kafka.to_structured_event):
        message = write(CloudEvent({**ATTRIBUTES, "traceparent": A}, DATA))
        headers = list(message.headers.items())
        assert trace_of(headers, read_record(None, message.value, headers).attributes) == A
