"""`POST /v1/models/{model}/predict`, over a process on the broker in memory."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from shared.contracts.control import ReplicaSeen
from shared.contracts.identity import split_hash
from shared.contracts.topology import Definitions
from shared.inputs.vector import InputPlan
from shared.inputs.windows import WindowState
from shared.runtime.log import TopicPartition
from shared.runtime.onnx_model import OnnxModel
from tests import builders as b
from tests.memory_host import AtOnce, MemoryHost
from tests.unit.serving.running import Platform, artifact

PREDICT = f"/v1/models/{b.MODEL}/predict"
RECORD: dict[str, Any] = {"card_id": "c1", "transaction_id": "t1", "at": b.T0_MS, "amount": 12.5, "category": "food"}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in RECORD.items() if key != name}


def test_one_record_is_answered_with_its_inputs() -> None:
    platform = Platform().with_first_version()
    platform.windows("c1", 10.0, 20.0)
    answer = platform.client().post(PREDICT, json=RECORD)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["model"], body["version"], body["entity"], body["entity_known"]) == (b.MODEL, 1, "c1", True)
    assert body["inputs"][f"{b.VIEW}.spend_mean_1h"] == 15.0
    assert body["inputs"][f"{b.VIEW}.count_24h"] == 2.0
    [probability] = OnnxModel(artifact(1)).predict_row(body["inputs"])
    assert body["prediction"] == {"probability": probability, "class": int(probability >= 0.5)}


def test_the_inputs_are_those_of_the_one_function() -> None:
    platform = Platform().with_first_version()
    platform.windows("c1", 3.0, 4.0, 9.0)
    definitions: Definitions = platform.process.history.newest.definitions
    plan = InputPlan.of(definitions.models[b.MODEL], definitions)
    row = platform.host.events(f"features.{b.VIEW}.v1")[-1].event
    state = WindowState.from_json(row.model_dump()["state"])
    expected = plan.inputs(RECORD, b.T0_MS, {b.VIEW: state})
    assert platform.client().post(PREDICT, json=RECORD).json()["inputs"] == expected


def test_an_unknown_entity_gets_the_defaults_and_a_flag() -> None:
    body = Platform().with_first_version().client().post(PREDICT, json=RECORD).json()
    assert body["entity_known"] is False
    assert body["inputs"][f"{b.VIEW}.count_24h"] == 0.0
    assert body["inputs"][f"{b.VIEW}.spend_mean_1h"] is None


BY_CATEGORY = b.view(name="by_category", entity="category")
BY_BOTH = {"fields": ["amount"], "views": [b.VIEW, "by_category"]}


def test_each_view_looks_up_the_entity_that_the_record_names_for_it() -> None:
    platform = Platform(further=[BY_CATEGORY], inputs=BY_BOTH).with_first_version()
    platform.windows("c1", 10.0, 20.0)
    platform.windows("food", 1.0, 2.0, 3.0, view=BY_CATEGORY)
    # Nobody asks for the category that is called like the card, nor for the card that is called like the category.
    platform.windows("c1", 9.0, view=BY_CATEGORY)
    platform.windows("food", 9.0)
    body = platform.client().post(PREDICT, json=RECORD).json()
    assert body["inputs"] == {
        "amount": 12.5, f"{b.VIEW}.spend_mean_1h": 15.0, f"{b.VIEW}.count_24h": 2.0,
        "by_category.spend_mean_1h": 2.0, "by_category.count_24h": 3.0,
    }  # fmt: skip
    assert (body["entity"], body["entity_known"]) == ("c1", True)


@pytest.mark.parametrize(
    ("card", "category", "known"), [("c1", "web", True), ("c2", "food", True), ("c2", "web", False)]
)
def test_an_entity_is_known_if_one_of_the_views_knows_its_own(card: str, category: str, known: bool) -> None:
    platform = Platform(further=[BY_CATEGORY], inputs=BY_BOTH).with_first_version()
    platform.windows("c1", 10.0)
    platform.windows("food", 1.0, view=BY_CATEGORY)
    body = platform.client().post(PREDICT, json={**RECORD, "card_id": card, "category": category}).json()
    assert body["entity_known"] is known
    assert body["inputs"][f"{b.VIEW}.count_24h"] == (card == "c1")
    assert body["inputs"]["by_category.count_24h"] == (category == "food")


def test_a_request_must_name_the_entities_that_are_looked_up() -> None:
    platform = Platform(further=[BY_CATEGORY], inputs=BY_BOTH).with_first_version()
    answer = platform.client().post(PREDICT, json=without("category"))
    assert (answer.status_code, answer.json()["field"]) == (422, "category")


def test_without_a_tick_a_request_is_as_of_the_newest_record_of_any_of_its_entities() -> None:
    platform = Platform(further=[BY_CATEGORY], inputs=BY_BOTH).with_first_version()
    platform.windows("food", 1.0, 2.0, view=BY_CATEGORY)
    platform.host.clock.pass_ms(3_600_000)
    body = platform.client().post(PREDICT, json=without("at")).json()
    assert (body["at"], body["inputs"]["by_category.count_24h"]) == ("2026-09-21T14:13:20.000Z", 2.0)


@pytest.mark.parametrize("name", ["card_id", "amount", "category"])
def test_a_missing_field_is_named(name: str) -> None:
    answer = Platform().with_first_version().client().post(PREDICT, json=without(name))
    assert answer.status_code == 422
    assert answer.json()["field"] == name
    assert "found no such field" in answer.json()["error"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("amount", "12", "a number of at least 0, found the text '12'"),
        ("amount", True, "a number of at least 0, found true"),
        ("amount", -1, "at least 0"),
        ("category", "rent", "one of food, travel, web"),
        ("card_id", 7, "a text"),
        ("at", "yesterday", "RFC 3339 or epoch milliseconds"),
        ("amuont", 1, "did you mean"),
        ("amount", None, "found null"),
        ("card_id", "", "found an empty text"),
        ("transaction_id", True, "a text or a number, found true"),
        ("transaction_id", "x" * 2_000, "at most 1024 characters"),
    ],
)
def test_what_does_not_fit_is_named(name: str, value: object, said: str) -> None:
    answer = Platform().with_first_version().client().post(PREDICT, json={**RECORD, name: value})
    assert answer.status_code == 422
    assert answer.json()["field"] == name
    assert said in answer.json()["error"].replace("Did", "did")


@pytest.mark.parametrize("name", ["at", None], ids=["in the record", "in the address"])
def test_a_time_further_ahead_than_a_record_may_be_is_refused(name: str | None) -> None:
    platform = Platform().with_first_version()
    body, at = ({**RECORD, "at": "2999-01-01T00:00:00Z"}, "") if name else (without("at"), "?at=2999-01-01T00:00:00Z")
    answer = platform.client().post(PREDICT + at, json=body)
    assert answer.status_code == 422
    assert answer.json()["field"] == "at"
    assert "at most 10000 ms ahead of the clock of source transactions" in answer.json()["error"]
    platform.settle()
    assert platform.predictions() == []


def test_ahead_is_measured_from_the_newest_tick_if_that_is_ahead_of_the_wall() -> None:
    platform = Platform().with_first_version()
    ticked_ms = b.T0_MS + 3_600_000
    platform.host.decide(b.tick(b.SOURCE), time_ms=ticked_ms)
    platform.settle()
    codes = [
        platform.client().post(PREDICT, json={**RECORD, "at": ticked_ms + ahead_ms}).status_code
        for ahead_ms in (10_000, 10_001)
    ]
    assert codes == [200, 422]


def test_id_and_time_may_be_missing() -> None:
    platform = Platform().with_first_version()
    platform.host.decide(b.tick(b.SOURCE), time_ms=b.T0_MS + 3_600_000)
    platform.settle()
    body = platform.client().post(PREDICT, json={"card_id": "c1", "amount": 1, "category": "web"}).json()
    assert body["at"] == "2026-09-21T15:13:20.000Z"
    platform.settle()
    assert platform.predictions()[-1].record_id is None


def test_no_version_yet_says_how_many_labelled_rows_there_are_and_is_logged() -> None:
    platform = Platform()
    platform.decide(b.quality(labelled=120, since_first_version=0, version=None))
    answer = platform.client().post(PREDICT, json=RECORD)
    assert answer.status_code == 503
    assert "no version yet: 120 of 2000 labelled rows" in answer.json()["error"]
    assert (answer.json()["labelled"], answer.json()["minimum_rows"]) == (120, 2_000)
    platform.settle()
    [made] = platform.predictions()
    assert (made.answered_by, made.outputs, made.request_id) == (None, {}, answer.json()["request_id"])


def test_an_unknown_model_is_answered_with_the_known_ones() -> None:
    answer = Platform().with_first_version().client().post("/v1/models/fraud/predict", json=RECORD)
    assert answer.status_code == 404
    assert f"declared are {b.MODEL}" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"'])
def test_what_is_no_record_is_refused(body: bytes) -> None:
    answer = Platform().with_first_version().client().post(PREDICT, content=body)
    assert answer.status_code in (400, 422)
    assert "JSON object" in answer.json()["error"]


def test_the_split_is_that_of_the_stream() -> None:
    platform = Platform().with_candidate(0.25)
    client = platform.client()
    for entity in (f"c{i}" for i in range(40)):
        version = client.post(PREDICT, json={**RECORD, "card_id": entity}).json()["version"]
        assert version == (2 if split_hash("o2", entity) < 0.25 else 1)
    platform.settle()
    for made in platform.predictions():
        shown = platform.process.history.at(made.control).model(b.MODEL).rollout
        assert shown is not None
        assert (made.answered_by == 2) == (split_hash("o2", made.entity) < shown.share)
        assert set(made.outputs) == {1, 2}


class Held:
    """Loads only when told to; everything else at once."""

    def __init__(self) -> None:
        self.at_once, self.held, self.holds = AtOnce(), list[tuple[Future[Any], Any]](), False

    def submit(self, fn: Any, /, *args: Any) -> Future[Any]:
        if not self.holds or "load" not in repr(fn):
            return self.at_once.submit(fn, *args)
        future: Future[Any] = Future()
        self.held.append((future, fn))
        return future


def test_a_version_that_is_not_loaded_here_does_not_answer_yet() -> None:
    held = Held()
    platform = Platform(MemoryHost(executor=held)).with_first_version()
    held.holds = True
    platform.host.decide(*platform.approved(2), b.promoted(2, former=1))
    for _ in range(5):
        platform.process.turn(0.0)
    client = platform.client()
    assert client.post(PREDICT, json=RECORD).json()["version"] == 1
    assert client.get("/v2/health/ready").json()["error"] == f"being loaded: version 2 of {b.MODEL}"
    [(future, load)] = held.held
    future.set_result(load())
    platform.settle()
    assert client.post(PREDICT, json=RECORD).json()["version"] == 2
    assert client.get("/v2/health/ready").status_code == 200
    for made in platform.predictions():
        assert platform.process.history.at(made.control).model(b.MODEL).champion == made.answered_by


def test_after_a_restart_a_model_with_versions_is_being_loaded_not_without_one() -> None:
    held = Held()
    platform = Platform(MemoryHost(executor=held)).with_first_version()
    held.holds = True
    platform.start()
    for _ in range(5):
        platform.process.turn(0.0)
    answer = platform.client().post(PREDICT, json=RECORD)
    assert answer.status_code == 503
    assert "is being loaded" in answer.json()["error"]


def test_nothing_is_answered_from_a_part_of_a_table() -> None:
    """What its log has lost is in no copy: there is no row of c2, and nobody can tell that there was one of c1."""
    platform = Platform().with_first_version()
    platform.windows("c1", 10.0)
    platform.windows("c2", 20.0)
    platform.host.broker.expire(TopicPartition(f"features.{b.VIEW}.v1", 0), 1)
    platform.start()
    platform.settle()
    client = platform.client()
    answer = client.post(PREDICT, json=RECORD)
    assert answer.status_code == 503
    assert "entries 0 to 0 are gone" in answer.json()["error"]
    assert client.get("/v2/health/ready").status_code == 400
    assert platform.predictions() == []


def test_the_guardrails_get_the_figures_at_the_next_tick() -> None:
    platform = Platform().with_first_version()
    client = platform.client()
    for _ in range(10):
        client.post(PREDICT, json=RECORD)
    client.post(PREDICT, json=without("amount"))
    platform.host.decide(b.tick(), time_ms=b.T0_MS + 10_000)
    platform.settle()
    figures = platform.said(ReplicaSeen)[-1].figures[f"{b.MODEL}/1"]
    assert (figures.requests, figures.errors) == (10, 0)
    assert 0 < figures.latency_p50_ms <= figures.latency_p99_ms


def test_a_model_for_each_task_answers_in_its_own_words() -> None:
    platform = Platform(
        task="regression",
        monitor={"scale": 10},
        label={"source": b.LABELS, "field": "amount", "joins": "transaction_id", "matures_after": "1m",
               "expires_after": "1m"},
    ).with_first_version()  # fmt: skip
    body = platform.client().post(PREDICT, json=RECORD).json()
    assert set(body["prediction"]) == {"value"}
