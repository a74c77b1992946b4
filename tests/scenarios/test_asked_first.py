"""Records that were asked about over HTTP before they came: the stream's counts add up all the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from deploy.simulation.platform import SimulatedPlatform
from services.console.read_model import ReadModel
from services.console.record_counts import RawCounts
from services.console.report import counts
from shared.contracts.envelope import Message, encode
from shared.contracts.flow import EventBuried, OutcomeMatured, PredictionMade, RecordAccepted, RecordStreamed
from shared.contracts.identity import derived_id
from shared.contracts.topics import OUTCOMES, PREDICTIONS, RECORDS
from shared.runtime.partitioning import partition_of
from tests.scenarios.invariants import check
from tests.scenarios.simulated import lockstep
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.workload import MATURES_MS, MODEL, PARTITIONS, PAYMENTS

# One comes while the outcome of the request about it is open, one after that was decided, one after it has expired.
OPEN, DECIDED, EXPIRED = "asked-open", "asked-decided", "asked-expired"
EXPIRES_MS = 5 * MATURES_MS


@cache
def asked_first() -> SimulatedPlatform:
    platform = lockstep(2, schedule=1)
    for gaps_ms, name in (((1,), OPEN), ((2 * MATURES_MS,), DECIDED), ((2 * MATURES_MS, EXPIRES_MS), EXPIRED)):
        _ask(platform, name)
        _go_on(platform, gaps_ms)
        _send(platform, name)
        _go_on(platform, (2 * MATURES_MS, 2 * EXPIRES_MS))
    return platform


def _ask(platform: SimulatedPlatform, name: str) -> None:
    """A replica's fact, as it logs one: with the answer of the version that answers."""
    topic, now_ms = PREDICTIONS.of(MODEL).name, platform.newest.now_ms(MODEL)
    history = TopicHistory.of_memory(platform.world.broker)
    made = [event for _, event in history.events(topic, PredictionMade) if event.answered_by is not None][-1]
    asked = made.model_copy(update={"record_id": name, "origin": "http", "request_id": name})
    message = Message(derived_id("replica", "request", name), "serving/http/r1", now_ms, made.entity, asked)
    platform.world.publish(topic, 0, encode(message))
    platform.world.settle(20_000)


def _send(platform: SimulatedPlatform, name: str) -> None:
    history = TopicHistory.of_memory(platform.world.broker)
    *_, (_, record) = history.events(RECORDS.of(PAYMENTS).name, RecordAccepted)
    card = str(record.value["card"])
    value = {**record.value, "payment": name, "at": platform.newest.now_ms(MODEL)}
    platform.publish(PAYMENTS, value, partition_of(card.encode(), PARTITIONS))
    platform.world.settle(20_000)


def _go_on(platform: SimulatedPlatform, gaps_ms: Sequence[int]) -> None:
    for gap_ms in gaps_ms:
        platform.tick(platform.newest.now_ms(MODEL) + gap_ms)
        platform.world.settle(20_000)


def violations(history: TopicHistory) -> list[str]:
    return [str(violation) for violation in check(history, asked_first().world.artifacts, replay=False)]


def test_the_record_shares_the_outcome_of_the_request_about_it() -> None:
    history, outcomes = TopicHistory.of_memory(asked_first().world.broker), OUTCOMES.of(MODEL).name
    streamed = [(event.record_id, event.status is None) for _, event in history.events(outcomes, RecordStreamed)]
    assert streamed == [(OPEN, True), (DECIDED, False), (EXPIRED, False)]
    matured = [event.prediction for _, event in history.events(outcomes, OutcomeMatured)]
    assert [made.record_id for made in matured if made.origin == "http"] == [OPEN, DECIDED, EXPIRED]
    assert violations(history) == []


def test_the_consoles_counts_of_the_stream_add_up() -> None:
    history = TopicHistory.of_memory(asked_first().world.broker)
    model = ReadModel(asked_first().history)
    for name in sorted(model.topics(model.history.newest)):
        for tp in history.partitions(name):
            for read in history.accepted(tp):
                model.on_message(tp, read.message)
    found = counts(model, RawCounts())["models"][MODEL]
    assert found["accepted"] == found["before_first_model"] + found["scored"]
    assert found["scored"] == found["joined"] + found["unlabelled"] + found["unmatured"]
    assert (found["requests"], found["unmatured"]) == (3, 0)


def test_the_checker_finds_a_streamed_record_of_which_no_outcome_tells() -> None:
    history = TopicHistory.of_memory(asked_first().world.broker)
    read, _ = next(iter(history.events(OUTCOMES.of(MODEL).name, RecordStreamed)))
    [violation] = violations(history.with_event(read, EventBuried()))
    assert "asked-open was scored 1 times on the stream, its outcomes tell of 0" in violation
