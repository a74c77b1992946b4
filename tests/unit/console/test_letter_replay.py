"""What a dead letter becomes when it is replayed, by the kind of its task; and which letters are refused, with why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.console.letter_replay import REPLAY_OF, NotReplayable, replay_of
from shared.contracts.envelope import Encoded, Mark, Message, decode, encode, encode_mark
from shared.contracts.flow import TimerReplayed
from shared.contracts.identity import derived_id
from shared.contracts.topology import Definitions, TaskSpec
from shared.runtime.dead_letters import DeadLetter, dead_letter
from shared.runtime.log import LogRecord, TopicPartition
from shared.runtime.step import Due
from tests import builders as b

WRITER = "headrace/console/0"
DEFINITIONS: Definitions = b.definitions()
LIMIT = 1_000_000
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def task(step: str, subject: str = b.SOURCE) -> TaskSpec:
    return next(one for one in DEFINITIONS.tasks if one.step == step and one.subject in (subject, "platform"))


def letter_of(spec: TaskSpec, what: Encoded, limit: int = LIMIT, offset: int = 7) -> LogRecord:
    record = LogRecord(spec.topic, spec.partition, offset, b.T0_MS, what.key, what.value, what.headers)
    return standing(dead_letter(spec, record, ValueError("no"), "trace", None, limit))


def timer_of(spec: TaskSpec, due_ms: int = b.T0_MS) -> LogRecord:
    cause = Due("timer-1", "t1", "due", due_ms)
    return standing(dead_letter(spec, None, ValueError("no"), "trace", cause, LIMIT))


def standing(letter: DeadLetter) -> LogRecord:
    encoded = letter.encoded
    return LogRecord(letter.topic, 0, 3, b.T0_MS, encoded.key, encoded.value, encoded.headers)


def refused(letter: LogRecord, definitions: Definitions = DEFINITIONS) -> str:
    with pytest.raises(NotReplayable) as reason:
        replay_of(letter, definitions, WRITER)
    assert dict(letter.headers)["headrace_dead_id"].decode() in str(reason.value)
    return str(reason.value)


def test_a_users_record_goes_to_the_users_topic_as_it_was() -> None:
    came = Encoded(b"any key", b'{"half', (("traceparent", TRACE.encode()), ("h", b"\xff")))
    letter = letter_of(task("intake"), came)
    replay = replay_of(letter, DEFINITIONS, WRITER)
    assert (replay.tp, replay.event_id) == (TopicPartition(b.SOURCE, 0), None)
    sent = replay.encoded
    assert (sent.key, sent.value, sent.headers[:-1]) == (came.key, came.value, came.headers)
    assert sent.headers[-1] == (REPLAY_OF, dict(letter.headers)["headrace_dead_id"])


def test_one_that_died_again_names_its_newest_letter_only() -> None:
    first = letter_of(task("intake"), Encoded(None, b"{", ()))
    second = letter_of(task("intake"), replay_of(first, DEFINITIONS, WRITER).encoded, offset=8)
    sent = replay_of(second, DEFINITIONS, WRITER).encoded
    assert sent.headers == ((REPLAY_OF, dict(second.headers)["headrace_dead_id"]),)


def test_a_users_record_without_a_value_stays_so() -> None:
    sent = replay_of(letter_of(task("intake"), Encoded(b"k", None, ())), DEFINITIONS, WRITER).encoded
    assert (sent.key, sent.value) == (b"k", None)


@pytest.mark.parametrize(
    ("step", "subject", "event"),
    [
        ("accept", b.SOURCE, b.intake()),
        ("compute", b.SOURCE, b.accepted()),
        ("score", b.MODEL, b.computed()),
        ("key_predictions", b.MODEL, b.prediction()),
        ("join", b.MODEL, b.label()),
    ],
)
def test_an_event_is_addressed_to_its_task_under_a_new_id_and_takes_no_sequence(
    step: str, subject: str, event: Any
) -> None:
    spec = task(step, subject)
    came = b.message(event, source="a/task", sequence=12, key="k", time_ms=b.T0_MS + 5, control=9, trace=TRACE)
    letter = letter_of(spec, encode(came))
    replay = replay_of(letter, DEFINITIONS, WRITER)
    assert replay.tp == TopicPartition(spec.topic, spec.partition)
    sent = decode(replay.encoded.key, replay.encoded.value, replay.encoded.headers)
    assert isinstance(sent, Message)
    letter_id = dict(letter.headers)["headrace_dead_id"].decode()
    assert sent.id == replay.event_id == derived_id(letter_id, "replay") != came.id
    assert (sent.source, sent.sequence, sent.replay_for) == (WRITER, None, spec.id)
    as_it_was = came._replace(id=sent.id, source=WRITER, sequence=None, replay_for=spec.id, trace=sent.trace)
    assert sent == as_it_was
    assert sent.trace
    assert (sent.trace[:36], sent.trace[36:52] != TRACE[36:52]) == (TRACE[:36], True)
    assert replay_of(letter, DEFINITIONS, WRITER) == replay


def test_a_timer_goes_into_the_input_of_its_task_and_keeps_the_time_at_which_it_was_due() -> None:
    spec = task("join", b.MODEL)
    replay = replay_of(timer_of(spec, b.T0_MS + 77), DEFINITIONS, WRITER)
    sent = decode(replay.encoded.key, replay.encoded.value, replay.encoded.headers)
    assert isinstance(sent, Message)
    assert sent.event == TimerReplayed(name="due", due_ms=b.T0_MS + 77)
    assert (sent.key, sent.replay_for, sent.time_ms) == ("t1", spec.id, b.T0_MS + 77)
    assert replay.tp == TopicPartition(spec.topic, spec.partition)


def test_a_timer_of_which_an_earlier_release_did_not_say_when_is_refused() -> None:
    letter = timer_of(task("join", b.MODEL))
    headers = tuple(header for header in letter.headers if header[0] != "headrace_timer_due_ms")
    assert "earlier release" in refused(letter._replace(headers=headers))


@pytest.mark.parametrize(("step", "subject"), [("judge", b.MODEL), ("decide", ""), ("schedule", "")])
def test_what_is_decided_in_the_order_of_a_log_is_refused(step: str, subject: str) -> None:
    spec = task(step, subject)
    for letter in (letter_of(spec, encode(b.message(b.tick()))), timer_of(spec)):
        assert "decides in the order of its log" in refused(letter)


def test_the_first_64_kb_are_refused_with_where_the_whole_stands() -> None:
    large = letter_of(task("intake"), Encoded(None, b"x" * 99_000, ()), limit=90_000)
    said = refused(large)
    assert "only the first 64 kB of its 99000 bytes are kept" in said
    assert f"the whole stands at {b.SOURCE}/0@7" in said


def test_an_event_that_is_too_large_for_the_broker_is_refused() -> None:
    event = encode(b.message(b.accepted(value={"x": "y" * 90_000}), source="t", sequence=1))
    letter = standing(DeadLetter.too_large(task("accept"), event, "records.transactions.v1", 90_500, 50_000))
    said = refused(letter)
    assert "the broker would not take it" in said
    assert "smaller" in said


def test_bytes_that_no_task_could_read_are_refused() -> None:
    letter = letter_of(task("score", b.MODEL), Encoded(b"k", b"{", (("ce_type", b"headrace.inputs_computed.v1"),)))
    assert "no event that a task could read" in refused(letter)
    mark = letter_of(task("score", b.MODEL), encode_mark(Mark("t", 1, 2, 3)))
    assert "mark" in refused(mark)


def test_a_task_that_no_definition_calls_for_is_named() -> None:
    spec = replace(task("accept"), partition=9)
    letter = letter_of(spec, encode(b.message(b.intake())))
    assert f"calls for its task {spec.id}" in refused(letter)
