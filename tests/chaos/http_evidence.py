"""What a client was told over HTTP against what the logs hold: each thing once, and as it was told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from shared.contracts.control import ApproveVersion, CommandRefused, RollBackModel
from shared.contracts.flow import PredictionMade, RecordAccepted
from shared.contracts.topics import PREDICTIONS, RECORDS
from tests.chaos.http_client import OURS, Told
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.workload import MODEL, PAYMENTS, TRUTHS

_ID = {PAYMENTS: "payment", TRUTHS: "truth"}


def contradictions(history: TopicHistory, told: Told) -> Iterator[str]:
    """What does not stand as it was told."""
    yield from _records(history, told)
    yield from _predictions(history, told)
    yield from _commands(history, told)


def published_over_http(history: TopicHistory, topic: str) -> Counter[str]:
    """How often each record of this client stands in a topic: once a try that came that far."""
    found = Counter[str]()
    for tp in history.partitions(topic):
        for record in history.logs[tp]:
            name = _record_id(topic, record.value or b"")
            found.update([name] if name.startswith(OURS) else [])
    return found


def _record_id(topic: str, value: bytes) -> str:
    try:
        record = orjson.loads(value)
    except orjson.JSONDecodeError:
        return ""
    return str(record.get(_ID[topic], "")) if isinstance(record, dict) else ""


def _records(history: TopicHistory, told: Told) -> Iterator[str]:
    for topic in _ID:
        accepted: dict[str, list[dict[str, Any]]] = {}
        for _, event in history.events(RECORDS.of(topic).name, RecordAccepted):
            accepted.setdefault(event.record_id, []).append(event.value)
        stand = published_over_http(history, topic)
        sent = {name: record for name, (source, record) in told.records.items() if source == topic}
        for name, record in sent.items():
            tries, found = told.attempts.get(name, 0), accepted.get(name, [])
            if name in told.acknowledged and not 1 <= stand[name] <= tries:
                yield f"{name} was sent {tries} times, acknowledged, and stands {stand[name]} times in {topic}"
            if (name in told.acknowledged or found) and found != [record]:
                yield f"{name} of {topic} was acknowledged as {record}, and accepted are {found}"
        for name in {name for name in (*stand, *accepted) if name.startswith(OURS)} - sent.keys():
            yield f"{name} stands in {topic} and was never sent"


def _predictions(history: TopicHistory, told: Told) -> Iterator[str]:
    made: dict[str, list[PredictionMade]] = {}
    for _, event in history.events(PREDICTIONS.of(MODEL).name, PredictionMade):
        if event.request_id is not None or event.origin == "http":
            made.setdefault(str(event.request_id), []).append(event)
    for request_id, answer in told.answers.items():
        found = made.get(request_id, [])
        if len(found) > 1 or (answer is not None and not found):
            yield f"request {request_id} got {'an' if answer else 'no'} answer, and stands {len(found)} times"
        if answer is not None:
            yield from (wrong for one in found for wrong in _differences(request_id, answer, one))
    for request_id in made.keys() - told.answers.keys():
        yield f"request {request_id} stands among the predictions and was never asked"


def _differences(request_id: str, answer: Mapping[str, Any], made: PredictionMade) -> Iterator[str]:
    output = made.outputs.get(made.answered_by or 0)
    logged = {
        "origin": made.origin, "version": made.answered_by, "inputs": made.inputs, "entity": made.entity,
        "probability": None if output is None else output.output[0],
    }  # fmt: skip
    said = {
        "origin": "http", "version": answer["version"], "inputs": answer["inputs"], "entity": answer["entity"],
        "probability": answer["prediction"]["probability"],
    }  # fmt: skip
    if logged != said:
        yield f"request {request_id} was answered {said}, and logged is {logged}"


def _commands(history: TopicHistory, told: Told) -> Iterator[str]:
    asked = Counter(event.request_id for _, event in history.decided(ApproveVersion))
    returned = Counter(event.request_id for _, event in history.decided(RollBackModel))
    refused = Counter(event.request_id for _, event in history.decided(CommandRefused))
    for request_id in told.commands:
        if (asked[request_id], refused[request_id]) != (1, 1):
            yield (
                f"command {request_id} was refused, stands {asked[request_id]} times in the log, "
                f"and was refused there {refused[request_id]} times"
            )
    for request_id, was_refused in told.returns.items():
        if returned[request_id] != 1 or refused[request_id] != was_refused:
            yield (
                f"command {request_id} was {'refused' if was_refused else 'answered'}, stands {returned[request_id]} "
                f"times in the log, and was refused there {refused[request_id]} times"
            )
