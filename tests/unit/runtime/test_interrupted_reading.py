"""When a reader over Kafka says that a topic may have gone and come again: where nobody asked for it for a moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import cast

import pytest

from shared.runtime import kafka_reader
from shared.runtime.kafka_clients.consumer import Consumer
from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_reader import KafkaReader
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import Answer
from shared.runtime.log import LogRecord, TopicPartition
from tests.unit.runtime.test_kafka_traps import TP

BREAK_S = 0.2


class Fetcher:
    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.damaged: list[object] = []
        self.failures = 0


class Silence:
    """A broker with nothing to say. `takes_s`: how long a fetch waits beyond its time."""

    def __init__(self) -> None:
        self.now_s, self.takes_s, self.fetcher = 100.0, 0.0, Fetcher()

    def monotonic(self) -> float:
        return self.now_s

    def next_records(self, timeout_ms: int, _max_records: int) -> dict[WirePartition, list[LogRecord]]:
        self.now_s += timeout_ms / 1000 + self.takes_s
        return {}

    def where(self, _wire: WirePartition) -> int:
        return 0

    def assign(self, _wires: Iterable[WirePartition]) -> None: ...
    def seek(self, _wire: WirePartition, _offset: int) -> None: ...
    def pause(self, *_wires: WirePartition) -> None: ...
    def resume(self, *_wires: WirePartition) -> None: ...


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Silence:
    silence = Silence()
    monkeypatch.setattr(kafka_reader.time, "monotonic", silence.monotonic)
    return silence


@pytest.fixture
def reader(silence: Silence) -> KafkaReader:
    reader = KafkaReader(KafkaSettings())
    reader._consumer = cast(Consumer, silence)
    reader.assign({TP: 0, TopicPartition("other", 0): 0})
    assert interrupted(reader), "nobody knows what was before the first fetch"
    return reader


def interrupted(reader: KafkaReader) -> bool:
    reader.poll(0.05, 10)
    return reader.take_interrupted()


def test_reading_without_a_break_is_not_interrupted(reader: KafkaReader) -> None:
    assert not any(interrupted(reader) for _ in range(5))


def test_a_break_between_two_fetches_is(reader: KafkaReader, silence: Silence) -> None:
    silence.now_s += BREAK_S
    assert interrupted(reader)
    assert not interrupted(reader)


def test_so_is_one_within_a_fetch(reader: KafkaReader, silence: Silence) -> None:
    silence.takes_s = BREAK_S
    assert interrupted(reader)
    silence.takes_s = 0.0
    assert not interrupted(reader)


@pytest.mark.parametrize("polls", [1, 5])
def test_so_is_a_log_that_was_paused_for_so_long(reader: KafkaReader, polls: int) -> None:
    reader.pause([TP])
    assert not any(interrupted(reader) for _ in range(polls))
    reader.resume([TP])
    assert interrupted(reader) == (polls * 0.05 > 0.1)


def test_so_are_an_error_and_no_answer(reader: KafkaReader, silence: Silence) -> None:
    silence.fetcher.answers.append(Answer(WirePartition("t", 0), 1, 0, 0, 3))
    assert interrupted(reader)
    silence.fetcher.failures += 1
    assert interrupted(reader)
    assert not interrupted(reader)
