"""`POST /v1/records/{source}` against a running ingestion: what it answers, and what then stands in the topic."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI

from deploy.simulation.world import World
from services.ingestion.http import router
from services.ingestion.intake import LARGEST_EVENT_BYTES
from services.ingestion.memory_guard import local_memory_guard, no_limit, resident_bytes
from services.ingestion.settings import IngestionSettings
from shared.contracts.flow import RecordAccepted
from shared.contracts.topics import CONTROL, RECORDS
from shared.runtime.log import BrokerAway, TopicPartition
from shared.runtime.partitioning import partition_of
from tests import builders as b
from tests.unit.ingestion.calls import value
from tests.unit.ingestion.running import SETTINGS, events, world

Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
PATH = f"/v1/records/{b.SOURCE}"


def ask(
    made: World, request: Ask, settings: IngestionSettings = SETTINGS, refuses: Any = no_limit, within_s: float = 5.0
) -> httpx.Response:
    """One request, while the process turns."""
    app = FastAPI()
    app.include_router(router(made.processes["ingestion"], settings, refuses, within_s))

    async def both() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answer = asyncio.ensure_future(request(client))
            while not answer.done():
                with may_be_away():
                    made.turn("ingestion")
                await asyncio.sleep(0.001)
            return await answer

    return asyncio.run(both())


@contextmanager
def may_be_away() -> Generator[None]:
    """The driver waits and turns again."""
    try:
        yield
    except BrokerAway:
        return


def post(
    made: World, body: bytes, path: str = PATH, headers: dict[str, str] | None = None, **over: Any
) -> httpx.Response:
    return ask(made, lambda client: client.post(path, content=body, headers=headers), **over)


def ready(source: Any = None) -> World:
    made = world(source=source)
    made.settle()
    return made


def standing(made: World, partition: int = 0) -> list[bytes | None]:
    return [record.value for record in made.broker.history(TopicPartition(b.SOURCE, partition))]


def test_a_record_is_answered_with_its_place_once_the_broker_has_it() -> None:
    made = ready(b.source(partitions=4))
    data = orjson.dumps(value(card_id=5, transaction_id="t1"), option=orjson.OPT_INDENT_2)
    refused = post(made, data)
    assert refused.status_code == 422
    data = orjson.dumps(value(card_id="5", transaction_id="t1"), option=orjson.OPT_INDENT_2)
    answer = post(made, data)
    assert answer.status_code == 202
    where = partition_of(b"5", 4)
    place = {"line": 1, "id": "t1", "topic": b.SOURCE, "partition": where, "offset": 0}
    assert answer.json() == {"source": b.SOURCE, "records": [place]}
    assert standing(made, where) == [data]
    made.settle()
    assert isinstance(events(made, RECORDS.of(b.SOURCE).name, where)[0], RecordAccepted)


def test_the_trace_of_a_request_becomes_that_of_its_records() -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    made = ready()
    body = b"\n".join(orjson.dumps(value(transaction_id=f"t{n}")) for n in range(2))
    assert post(made, body, headers={"TraceParent": trace}).status_code == 202
    assert traces(made) == [trace.encode()] * 2


@pytest.mark.parametrize("given", [[], ["00-1"], [f"00-{'a' * 32}-{'b' * 16}-01"] * 2])
def test_a_trace_that_is_not_there_invalid_or_doubled_is_ignored(given: list[str]) -> None:
    made = ready()
    headers = [("traceparent", text) for text in given]
    answer = ask(made, lambda client: client.post(PATH, content=orjson.dumps(value()), headers=headers))
    assert answer.status_code == 202
    assert traces(made) == [None]


def traces(made: World) -> list[bytes | None]:
    return [dict(record.headers).get("traceparent") for record in made.broker.history(TopicPartition(b.SOURCE, 0))]


def test_lines_are_answered_one_by_one_and_an_id_twice_counts_once() -> None:
    made = ready()
    lines = [orjson.dumps(value(transaction_id=name)) for name in ("a", "b", "a")]
    answer = post(made, b"\r\n\n".join(lines) + b"\n")
    assert [(r["line"], r["id"], r["offset"]) for r in answer.json()["records"]] == [
        (1, "a", 0),
        (3, "b", 1),
        (5, "a", 2),
    ]
    assert standing(made) == lines
    made.settle()
    assert len(events(made, RECORDS.of(b.SOURCE).name)) == 2


def test_a_bad_line_is_named_and_nothing_is_published() -> None:
    made = ready()
    good = orjson.dumps(value())
    late = orjson.dumps(value(at="soon"))
    answer = post(made, b"\n".join([good, b"{", orjson.dumps(value(amount=-1)), late]))
    assert answer.status_code == 422
    problems = answer.json()["problems"]
    assert [(p["line"], p["reason"], p["field"]) for p in problems] == [
        (2, "undecodable", None),
        (3, "out_of_range", "amount"),
        (4, "wrong_type", "at"),
    ]
    assert problems[1]["detail"] == "field 'amount': expected a number of at least 0, found the number -1"
    assert answer.json()["error"] == "3 of 4 lines do not fit; nothing was published"
    made.settle()
    assert standing(made) == []


def test_a_line_that_would_not_fit_into_an_event_is_named_and_nothing_is_published() -> None:
    made = ready()
    large = orjson.dumps(value(transaction_id="b", category="x" * LARGEST_EVENT_BYTES))
    answer = post(made, b"\n".join([orjson.dumps(value(transaction_id="a")), large]))
    assert answer.status_code == 422
    assert [(p["line"], p["reason"]) for p in answer.json()["problems"]] == [(2, "too_large")]
    made.settle()
    assert standing(made) == []


def test_what_only_the_broker_finds_too_large_is_answered_record_by_record(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ready()
    small, other = (orjson.dumps(value(transaction_id=name)) for name in ("a", "c"))
    large = orjson.dumps(value(transaction_id="b" * 900))
    # A cluster whose topics take less than we do.
    monkeypatch.setattr("shared.runtime.memory_log.MAX_RECORD_BYTES", 600)
    answer = post(made, b"\n".join([small, large, other]))
    assert answer.status_code == 413
    assert [(r["line"], r["id"], r["offset"]) for r in answer.json()["records"]] == [(1, "a", 0), (3, "c", 1)]
    assert [(p["line"], p["reason"]) for p in answer.json()["problems"]] == [(2, "too_large")]
    assert "took 2 of 3" in answer.json()["error"]
    assert standing(made) == [small, other]


@pytest.mark.parametrize("body", [b"", b"\n \n"])
def test_an_empty_request_is_refused(body: bytes) -> None:
    assert post(ready(), body).status_code == 422


def test_a_record_of_the_future_is_refused() -> None:
    made = ready(b.source(time={"field": "at", "clock": "wall"}))
    assert post(made, orjson.dumps(value())).json()["problems"][0]["reason"] == "in_the_future"
    assert post(made, orjson.dumps(value(at=made.clock.wall_ms()))).status_code == 202


def test_an_unknown_source_lists_those_that_are_declared() -> None:
    answer = post(ready(), b"{}", "/v1/records/payments")
    assert answer.status_code == 404
    assert answer.json() == {"error": "source 'payments' is not declared; declared are chargebacks, transactions"}


def test_without_definitions_it_says_what_it_waits_for() -> None:
    made = World(1, [lambda: world().processes["ingestion"].service])
    made.broker.admin().create(CONTROL.name, 1, {})
    answer = post(made, b"{}")
    assert answer.status_code == 503
    assert "headrace apply" in answer.json()["error"]


def test_while_the_broker_is_away_nothing_is_taken_and_nothing_comes_later() -> None:
    made = ready()
    made.broker.away = True
    answer = post(made, orjson.dumps(value()), within_s=0.05)
    assert answer.status_code == 503
    assert "0 of 1 records" in answer.json()["error"]
    made.broker.away = False
    made.settle()
    assert standing(made) == []


def test_a_broker_without_room_is_said_with_the_way_out() -> None:
    mine = os.getpid()
    assert resident_bytes(mine) > 1 << 20
    assert local_memory_guard(mine, 1 << 50)() is None
    answer = post(ready(), orjson.dumps(value()), refuses=local_memory_guard(mine, 1 << 20))
    assert answer.status_code == 507
    assert "--broker kafka" in answer.json()["error"]


def test_off_loopback_a_token_is_asked_for() -> None:
    made, data = ready(), orjson.dumps(value())
    open_to_all = IngestionSettings(host="0.0.0.0")
    assert post(made, data, settings=open_to_all).status_code == 403
    guarded = IngestionSettings(host="0.0.0.0", token="s3cret")
    assert post(made, data, settings=guarded).status_code == 401
    assert post(made, data, headers={"Authorization": "Bearer wrong"}, settings=guarded).status_code == 401
    assert post(made, data, headers={"Authorization": "Bearer s3cret"}, settings=guarded).status_code == 202
