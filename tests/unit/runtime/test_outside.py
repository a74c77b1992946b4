"""Records and events that no task derived: sent in order, again after a failure, taken back, refused for good."""

from __future__ import annotations

import pytest

from shared.contracts.topics import CONTROL
from shared.runtime import memory_log
from shared.runtime.log import MAX_RECORD_BYTES, RecordTooLarge, TopicPartition
from shared.runtime.memory_log import Fate, MemoryBroker, MemoryWriter
from shared.runtime.outside import OutsideWriter
from shared.runtime.relay import EventRefused
from tests import builders as b

TP = TopicPartition("t", 0)


def start(*fates: Fate) -> tuple[MemoryBroker, OutsideWriter, MemoryWriter]:
    """The sends meet these fates, and are then delivered."""
    broker, drawn = MemoryBroker(), list(fates)
    broker.admin().create("t", 1, {})
    broker.admin().create(CONTROL.name, 1, {})
    return broker, OutsideWriter("x"), broker.writer(lambda tp, key, value: drawn.pop(0) if drawn else Fate.DELIVER)


def send(outside: OutsideWriter, writer: MemoryWriter) -> None:
    for _ in range(5):
        outside.send(writer)
        writer.drain(0.0)


def test_a_raw_record_stands_as_it_was_given_and_its_offset_is_known() -> None:
    broker, outside, writer = start()
    first, second = outside.publish_raw(TP, b"k", b"1", [("h", b"v")]), outside.publish_raw(TP, None, b"2")
    assert outside.pending == 2
    send(outside, writer)
    assert (first.result(0), second.result(0)) == (0, 1)
    record = broker.history(TP)[0]
    assert (record.key, record.value, record.headers) == (b"k", b"1", (("h", b"v"),))
    assert (outside.pending, outside.ends) == (0, {("t", 0): 2})


def test_after_a_failure_it_goes_again() -> None:
    broker, outside, writer = start(Fate.FAIL)
    future = outside.publish_raw(TP, None, b"1")
    send(outside, writer)
    assert future.result(0) == 0
    assert [record.value for record in broker.history(TP)] == [b"1"]


def test_what_is_taken_back_before_it_was_sent_never_stands() -> None:
    broker, outside, writer = start()
    future, other = outside.publish_raw(TP, None, b"1"), outside.publish_raw(TP, None, b"2")
    assert future.cancel()
    send(outside, writer)
    assert other.result(0) == 0
    assert [record.value for record in broker.history(TP)] == [b"2"]
    assert outside.pending == 0


def test_what_is_taken_back_while_it_flies_stands_and_hurts_nobody() -> None:
    broker, outside, writer = start()
    future = outside.publish_raw(TP, None, b"1")
    outside.send(writer)
    assert future.cancel()
    send(outside, writer)
    assert [record.value for record in broker.history(TP)] == [b"1"]
    assert outside.pending == 0


def test_what_the_broker_will_never_take_is_said_and_not_tried_again() -> None:
    _, outside, writer = start()
    future = outside.publish_raw(TP, None, b"x" * (MAX_RECORD_BYTES + 1))
    send(outside, writer)
    with pytest.raises(RecordTooLarge):
        future.result(0)
    assert outside.pending == 0


def test_an_event_that_nobody_waits_for_and_no_broker_takes_stops_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_log, "MAX_RECORD_BYTES", 100)
    _, outside, writer = start()
    outside.publish(CONTROL, b.founded(), event_id="a", time_ms=b.T0_MS)
    with pytest.raises(EventRefused, match=r"control\.v1/0"):
        send(outside, writer)


def test_an_event_says_where_it_landed() -> None:
    _, outside, writer = start()
    landed: list[int] = []
    for name in ("a", "b"):
        outside.publish(CONTROL, b.founded(), event_id=name, time_ms=b.T0_MS, landed=landed.append)
    send(outside, writer)
    assert landed == [0, 1]
