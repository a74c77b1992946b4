"""One trace goes from a record's publication to its outcome: the same trace id in each topic, a span for each event."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import orjson
import pytest

from deploy.simulation.platform import SimulatedPlatform
from shared.contracts import control as c
from shared.contracts import flow as f
from shared.contracts.envelope import Headers, Message
from shared.contracts.identity import record_cause
from shared.contracts.topics import FEATURES, INTAKE, JOINS, OUTCOMES, PREDICTIONS, RECORDS, REJECTED, SCORING
from shared.contracts.trace_context import read_traceparent, trace_id_of
from tests.scenarios.simulated import SHORT, calm, lockstep
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.workload import MATURES_MS, MODEL, PAYMENTS, TRUTHS, VIEW, Record

TOPICS = [
    INTAKE.of(PAYMENTS), RECORDS.of(PAYMENTS), SCORING.of(MODEL), PREDICTIONS.of(MODEL), JOINS.of(MODEL),
    OUTCOMES.of(MODEL), INTAKE.of(TRUTHS), RECORDS.of(TRUTHS), FEATURES.of(VIEW), REJECTED,
]  # fmt: skip
CLOUD_EVENT = {"specversion": "1.0", "id": "e", "source": "/till", "type": "paid"}


def given(digit: str) -> str:
    return f"00-{digit * 32}-{digit * 16}-01"


def plain(trace: str, record: Record) -> tuple[bytes, Headers]:
    return orjson.dumps(record), (("traceparent", trace.encode()),)


def binary(trace: str, record: Record) -> tuple[bytes, Headers]:
    attributes = {**CLOUD_EVENT, "traceparent": trace}
    headers = tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())
    return orjson.dumps(record), (*headers, ("content-type", b"application/json"))


def structured(trace: str, record: Record) -> tuple[bytes, Headers]:
    event = orjson.dumps({**CLOUD_EVENT, "traceparent": trace, "data": record})
    return event, (("content-type", b"application/cloudevents+json"),)


WAYS = {"1": plain, "2": binary, "3": structured}


@cache
def traced() -> SimulatedPlatform:
    """A platform with a version, and behind it one record of each way to say a trace, with its label."""
    platform = lockstep(2, schedule=1, count=SHORT)
    now_ms = platform.newest.now_ms(MODEL)
    for digit, way in WAYS.items():
        record: Record = {"payment": f"x{digit}", "card": "c1", "at": now_ms, "amount": 5.0, "risk": 0.5}
        data, headers = way(given(digit), record)
        platform.publish(PAYMENTS, data, 0, headers)
        if digit != "2":
            truth: Record = {"truth": f"x{digit}a", "payment": f"x{digit}", "known_at": now_ms, "bad": False}
            platform.publish(TRUTHS, *_labelled(digit, truth))
    data, headers = plain(given("4"), {"payment": "x4"})
    platform.publish(PAYMENTS, data, 0, headers)
    platform.world.settle(20_000)
    for after_ms in (2 * MATURES_MS, 20 * MATURES_MS):
        platform.tick(now_ms + after_ms)
        platform.world.settle(20_000)
    return platform


def _labelled(digit: str, truth: Record) -> tuple[bytes, int, Headers]:
    data, headers = plain(given({"1": "a", "3": "c"}[digit]), truth)
    return data, 0, headers


def messages(history: TopicHistory, topic: str) -> Iterator[Message]:
    for tp in history.partitions(topic):
        yield from (read.message for read in history.accepted(tp))


def about(event: object) -> str | None:
    """The record that an event is about, or the label's own."""
    made = getattr(event, "prediction", event)
    return getattr(made, "label_id", None) or getattr(made, "record_id", None)


@pytest.mark.parametrize("digit", WAYS)
def test_one_trace_goes_from_publication_to_outcome(digit: str) -> None:
    history = TopicHistory.of_memory(traced().world.broker)
    spans: list[str] = []
    for topic in TOPICS[:6]:
        traces = [m.trace or "" for m in messages(history, topic.name) if about(m.event) == f"x{digit}"]
        assert traces, f"{topic.name} knows nothing of x{digit}"
        assert {(trace[:36], trace[52:]) for trace in traces} == {(given(digit)[:36], "-01")}, topic.name
        spans += [trace[36:52] for trace in traces]
    kinds = {type(m.event) for m in messages(history, OUTCOMES.of(MODEL).name) if about(m.event) == f"x{digit}"}
    assert kinds == {f.OutcomeScored, f.OutcomeMatured}
    assert len(set(spans)) == len(spans) == 7
    assert digit * 16 not in spans


def test_a_label_has_a_trace_of_its_own_as_far_as_it_goes() -> None:
    history = TopicHistory.of_memory(traced().world.broker)
    for topic in (INTAKE.of(TRUTHS), RECORDS.of(TRUTHS), JOINS.of(MODEL)):
        [message] = [m for m in messages(history, topic.name) if about(m.event) == "x1a"]
        assert trace_id_of(message.trace) == "a" * 32


def test_a_rejected_record_keeps_its_trace() -> None:
    history = TopicHistory.of_memory(traced().world.broker)
    ids = [trace_id_of(message.trace) for message in messages(history, REJECTED.name)]
    assert ids.count("4" * 32) == 1


def first_cause(topic: str, event: object) -> str:
    """The record that led to an event: of a label's fate, and of a revision, the label."""
    if isinstance(event, f.OutcomeRevised | f.LabelObserved | f.LabelUnused):
        return record_cause(TRUTHS, event.label_id)
    source = INTAKE.subject(topic) or RECORDS.subject(topic) or PAYMENTS
    return record_cause(source, about(event) or "")


def test_without_a_client_the_trace_has_the_id_of_the_record() -> None:
    """In each topic, whatever led to the event: the record, a timer, a label that came first."""
    history = TopicHistory.of_memory(calm(2).world.broker)
    seen: set[type[object]] = set()
    for topic in TOPICS[:8]:
        for message in messages(history, topic.name):
            assert trace_id_of(message.trace) == first_cause(topic.name, message.event).replace("-", ""), message
            seen.add(type(message.event))
    assert seen >= {f.OutcomeMatured, f.OutcomeRevised, f.LabelUnused, f.InputsComputed}


def test_every_derived_event_has_a_valid_trace_and_a_span_of_its_own() -> None:
    history = TopicHistory.of_memory(calm(2).world.broker)
    derived = [m for topic in TOPICS for m in messages(history, topic.name)]
    derived += [m for m in calm(2).decided() if m.sequence is not None]
    assert all(read_traceparent([m.trace or ""]) == m.trace for m in derived)
    # A record that was sent twice gives the same event twice.
    assert len({(m.trace or "")[36:52] for m in derived}) == len({m.id for m in derived})


def test_an_alarm_and_the_version_that_its_run_gave_are_one_trace() -> None:
    decided = list(calm(2).decided())
    alarms = [m for m in decided if isinstance(m.event, c.DriftDetected) and m.event.monitor == "saving"]
    registered = [m for m in decided if isinstance(m.event, c.VersionRegistered)]
    finished = [m for m in decided if isinstance(m.event, c.RunFinished)]
    of_alarms = {trace_id_of(alarm.trace) for alarm in alarms}
    assert len(of_alarms) == len(alarms) >= 1
    assert of_alarms & {trace_id_of(run.trace) for run in finished} & {trace_id_of(v.trace) for v in registered}
