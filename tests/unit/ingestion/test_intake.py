"""A record of a user's topic in, the record under its own key out, or a rejection with its reason."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingestion.intake import intake_step
from shared.contracts.flow import IntakeRecord, RejectReason
from shared.contracts.identity import record_cause
from shared.contracts.topics import INTAKE, REJECTED
from shared.runtime.step import Raw
from tests import builders as b
from tests.unit.ingestion.calls import context, log_record, published, rejection, take_in, value

WALL = {"field": "at", "clock": "wall", "max_ahead": "10s"}


def test_a_record_goes_on_under_its_own_key_whatever_the_client_chose() -> None:
    data = orjson.dumps(value())
    state, output = take_in(data, newest_ms=b.T0_MS - 5)
    sent = published(output)
    assert (sent.topic, sent.key, sent.time_ms) == (INTAKE.of(b.SOURCE), "c1", b.T0_MS)
    assert sent.event == b.intake(offset=7, newest_ms=b.T0_MS - 5, data=data.decode())
    assert state == b.T0_MS


def test_newest_is_what_came_before_the_record() -> None:
    first, output = take_in(value())
    assert isinstance(event := published(output).event, IntakeRecord)
    assert event.newest_ms is None
    second, output = take_in(value(at=b.T0_MS - 1_000), first)
    assert isinstance(event := published(output).event, IntakeRecord)
    assert event.newest_ms == second == b.T0_MS


def test_by_the_wall_clock_an_event_time_moves_newest_at_most_to_the_brokers_time() -> None:
    state, output = take_in(value(at=b.T0_MS + 9_000), source=b.source(time=WALL))
    assert (state, published(output).time_ms) == (b.T0_MS, b.T0_MS + 9_000)


def test_by_the_clock_of_events_an_event_time_counts_as_it_is() -> None:
    state, _ = take_in(value(at=b.T0_MS + 10**9))
    assert state == b.T0_MS + 10**9


def test_a_record_of_the_future_is_rejected_by_the_wall_clock_only() -> None:
    state, output = take_in(value(at=b.T0_MS + 10_001), 5, b.source(time=WALL))
    assert rejection(output).reason is RejectReason.IN_THE_FUTURE
    assert "10001 ms ahead" in rejection(output).detail
    assert state == 5


@pytest.mark.parametrize(
    ("data", "reason", "said"),
    [
        (b"\xff\xfe", RejectReason.UNDECODABLE, "no JSON"),
        (b"{", RejectReason.UNDECODABLE, "no JSON"),
        (b"", RejectReason.UNDECODABLE, "no JSON"),
        (None, RejectReason.UNDECODABLE, "tombstone"),
        (b"[" * 5_000, RejectReason.UNDECODABLE, "no JSON"),
        (b"[1]", RejectReason.WRONG_TYPE, "expected a JSON object, found a list"),
        (value(card_id=None), RejectReason.MISSING_FIELD, "field 'card_id': expected a text or a number, found null"),
        ({"card_id": "c1"}, RejectReason.MISSING_FIELD, "field 'transaction_id'"),
        (value(transaction_id=""), RejectReason.MISSING_FIELD, "an empty text"),
        (value(transaction_id=[1]), RejectReason.WRONG_TYPE, "found a list"),
        (value(transaction_id=True), RejectReason.WRONG_TYPE, "found true"),
        (value(transaction_id="x" * 2_000), RejectReason.OUT_OF_RANGE, "2000 characters"),
        (b'{"card_id": 123456789012345678901}', RejectReason.WRONG_TYPE, "write it as a text"),
        (value(at="yesterday"), RejectReason.WRONG_TYPE, "RFC 3339"),
        (value(at=True), RejectReason.WRONG_TYPE, "found true"),
        (value(at={}), RejectReason.WRONG_TYPE, "found an object"),
        (value(at=1e300), RejectReason.WRONG_TYPE, "RFC 3339"),
    ],
)
def test_what_cannot_be_routed_is_rejected_and_leaves_the_state(
    data: bytes | dict[str, Any] | None, reason: RejectReason, said: str
) -> None:
    state, output = take_in(data, 5)
    assert rejection(output).reason is reason
    assert said in rejection(output).detail
    assert state == 5
    assert published(output).topic is REJECTED


def test_of_an_oversized_record_the_first_64_kb_the_length_and_the_hash_are_kept() -> None:
    data = orjson.dumps(value(category="x" * (2 << 20)))
    _, output = take_in(data)
    event = rejection(output)
    assert event.reason is RejectReason.TOO_LARGE
    assert b64decode(event.data_base64) == data[: 64 * 1024]
    assert (event.length, event.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (event.topic, event.partition, event.offset) == (b.SOURCE, 0, 7)


def test_a_record_that_outgrows_an_event_by_its_escapes_is_rejected_rather_than_buried() -> None:
    data = orjson.dumps(value(category='"' * 300_000))
    _, output = take_in(data)
    assert rejection(output).reason is RejectReason.TOO_LARGE
    assert "as an event" in rejection(output).detail


def test_the_largest_record_is_a_setting() -> None:
    handler = intake_step(50).raw
    assert handler is not None
    _, [output] = handler(None, Raw(log_record(value())), context("intake"))
    assert rejection(output).reason is RejectReason.TOO_LARGE


def test_what_a_record_leads_to_has_its_id_from_source_and_record_id_wherever_the_record_lies() -> None:
    causes = {
        published(take_in(value(amount=amount), partition=partition, offset=offset)[1]).first_cause
        for amount, partition, offset in ((1, 0, 7), (1, 0, 8), (2, 3, 0))
    }
    assert causes == {record_cause(b.SOURCE, "t1")}
    assert published(take_in(value(transaction_id="t2"))[1]).first_cause == record_cause(b.SOURCE, "t2")
    assert record_cause(b.LABELS, "t1") not in causes


def test_what_is_refused_is_told_apart_by_its_bytes() -> None:
    first, again, other = (published(take_in(data, offset=n)[1]) for n, data in enumerate((b"{", b"{", b"[")))
    assert first.first_cause == again.first_cause != other.first_cause
    assert first.name == again.name != other.name


GIVEN = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize("data", [orjson.dumps(value()), b"{"])
def test_a_record_brings_its_trace_with_it_whether_it_fits_or_not(data: bytes) -> None:
    assert published(take_in(data, headers=(("traceparent", GIVEN.encode()),))[1]).trace == GIVEN
    assert published(take_in(data, headers=(("traceparent", b"00-1"),))[1]).trace == ""
    assert published(take_in(data)[1]).trace == ""


def test_cloud_events_are_read_by_their_data() -> None:
    attributes = {"specversion": "1.0", "id": "x", "source": "/shop", "type": "paid"}
    structured = orjson.dumps({**attributes, "data": value()})
    headers = (("content-type", b"application/cloudevents+json"),)
    _, output = take_in(structured, headers=headers)
    assert published(output).key == "c1"
    binary = tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())
    _, output = take_in(value(), headers=(*binary, ("content-type", b"application/json")))
    assert published(output).key == "c1"
    _, output = take_in(value(), headers=binary[1:])
    assert rejection(output).reason is RejectReason.UNDECODABLE


@given(st.integers(-(2**52), 2**52))
def test_a_number_is_one_key_however_it_is_written(number: int) -> None:
    source = b.source(fields={"amount": "number"})
    keys = {
        published(take_in(value(card_id=card, transaction_id=card), source=source)[1]).key
        for card in (number, float(number), str(number))
    }
    assert keys == {str(number)}


@given(st.binary(max_size=200), st.lists(st.tuples(st.sampled_from(["ce_id", "content-type", "x"]), st.binary())))
def test_any_bytes_give_one_output(data: bytes, headers: list[tuple[str, bytes]]) -> None:
    _, output = take_in(data, headers=tuple(headers))
    assert published(output).topic in (REJECTED, INTAKE.of(b.SOURCE))


def test_the_runtime_reads_the_newest_event_time_off_the_state() -> None:
    assert intake_step().newest_ms(b.T0_MS) == b.T0_MS
    assert intake_step().newest_ms(None) is None
