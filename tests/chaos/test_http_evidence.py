"""What HTTP clients were told is held against the logs: lost, doubled and altered answers are found."""

from __future__ import annotations

from dataclasses import replace

import orjson

from shared.contracts.control import ApproveVersion, CommandRefused, RollBackModel
from shared.contracts.envelope import Event, Message, encode
from shared.contracts.flow import PredictionMade, RecordAccepted, VersionOutput
from shared.contracts.topics import CONTROL, PREDICTIONS, RECORDS
from shared.runtime.log import LogRecord, TopicPartition
from tests import builders as b
from tests.chaos.commands import MISSING_VERSION
from tests.chaos.http_client import Told
from tests.chaos.http_evidence import contradictions
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.workload import MODEL, PAYMENTS, Record

RECORD: Record = {"payment": "h00000", "card": "c1", "at": b.T0_MS, "amount": 2.5, "risk": 0.5}
SENT = TopicPartition(PAYMENTS, 0)
ACCEPTED = TopicPartition(RECORDS.of(PAYMENTS).name, 0)
PREDICTED = TopicPartition(PREDICTIONS.of(MODEL).name, 0)
CONTROLLED = TopicPartition(CONTROL.name, 0)
MADE = PredictionMade(
    model=MODEL, record_id=None, entity="c1", origin="http", inputs={"amount": 2.5}, control=3, answered_by=2,
    outputs={2: VersionOutput(artifact_sha256="a", output=(0.75,))}, request_id="q1",
)  # fmt: skip
ANSWER = {
    "version": 2, "inputs": {"amount": 2.5}, "entity": "c1", "prediction": {"probability": 0.75, "class": 1},
}  # fmt: skip


def said(tp: TopicPartition, *events: Event) -> list[LogRecord]:
    """Each under an id of its own."""
    found: list[LogRecord] = []
    for offset, event in enumerate(events):
        encoded = encode(Message(f"{tp.topic} {offset}", "tests", b.T0_MS, "c1", event))
        found.append(LogRecord(*tp, offset, b.T0_MS, encoded.key, encoded.value, encoded.headers))
    return found


ONCE = {
    SENT: [LogRecord(*SENT, 0, b.T0_MS, b"c1", orjson.dumps(RECORD), ())],
    ACCEPTED: said(ACCEPTED, RecordAccepted(source=PAYMENTS, record_id="h00000", late=False, value=RECORD)),
    PREDICTED: said(PREDICTED, MADE),
    CONTROLLED: said(
        CONTROLLED,
        b.founded(),
        ApproveVersion(model=MODEL, version=MISSING_VERSION, by="chaos", request_id="chaos-0"),
        CommandRefused(request_id="chaos-0", model=MODEL, reason="there is no such version"),
    ),
}  # fmt: skip


def told() -> Told:
    return Told(
        records={"h00000": (PAYMENTS, RECORD)}, attempts={"h00000": 1}, acknowledged={"h00000"},
        answers={"q0": None, "q1": ANSWER}, commands={"chaos-0"},
    )  # fmt: skip


def found(tp: TopicPartition = SENT, *events: Event, **other: object) -> list[str]:
    """With these in the place of what stands in a log, and other things told."""
    logs = {**ONCE, tp: said(tp, *events)} if events else ONCE
    return list(contradictions(TopicHistory(logs), replace(told(), **other)))


def test_what_was_told_and_stands_once_is_no_contradiction() -> None:
    assert found() == []


def test_a_record_that_is_lost_doubled_or_altered_is_found() -> None:
    accepted = RecordAccepted(source=PAYMENTS, record_id="h00000", late=False, value=RECORD)
    other = accepted.model_copy(update={"record_id": "p0001"})
    altered = accepted.model_copy(update={"value": {**RECORD, "amount": 3}})
    for events in ((other,), (accepted, accepted), (altered,)):
        [text] = found(ACCEPTED, *events)
        assert text.startswith("h00000 of payments was acknowledged as")
    [text] = contradictions(TopicHistory({**ONCE, SENT: []}), told())
    assert text.endswith("stands 0 times in payments")
    assert len(found(records={}, acknowledged=set[str]())) == 1


def test_a_prediction_that_is_lost_doubled_or_altered_is_found() -> None:
    nobodys = MADE.model_copy(update={"request_id": "q2"})
    unanswered = MADE.model_copy(update={"request_id": "q0"})
    altered = MADE.model_copy(update={"outputs": {2: VersionOutput(artifact_sha256="a", output=(0.5,))}})
    assert len(found(PREDICTED, MADE, unanswered)) == 0, "an answer may be lost on its way"
    assert len(found(PREDICTED, MADE, unanswered, unanswered)) == 1
    assert len(found(PREDICTED, MADE, MADE)) == 1
    assert len(found(PREDICTED, MADE, nobodys)) == 1
    assert found(PREDICTED, unanswered) == ["request q1 got an answer, and stands 0 times"]
    [text] = found(PREDICTED, altered)
    assert text.startswith("request q1 was answered")


def test_a_command_that_counts_twice_is_found() -> None:
    asked = ApproveVersion(model=MODEL, version=MISSING_VERSION, by="chaos", request_id="chaos-0")
    refused = CommandRefused(request_id="chaos-0", model=MODEL, reason="there is no such version")
    assert len(found(CONTROLLED, b.founded(), asked, asked, refused)) == 1


def test_a_roll_back_that_was_answered_and_is_lost_or_counts_twice_is_found() -> None:
    asked = RollBackModel(model=MODEL, by="chaos", request_id="chaos-back-0")
    refused = CommandRefused(request_id="chaos-back-0", model=MODEL, reason="there is nothing to return to")

    def contradicted(*events: Event, was_refused: bool) -> int:
        told_last = {"commands": set[str](), "returns": {"chaos-back-0": was_refused}}
        return len(found(CONTROLLED, b.founded(), *events, **told_last))

    assert contradicted(asked, was_refused=False) == 0
    assert contradicted(asked, refused, was_refused=True) == 0
    assert contradicted(was_refused=False) == 1
    assert contradicted(asked, asked, was_refused=False) == 1
    assert contradicted(asked, was_refused=True) == 1
