"""Features over HTTP: the same function on the newest row, at the time asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from deploy.simulation.world import ALL_FAULTS, NO_FAULTS, Faults, World
from services.features.app import build, routers
from services.features.settings import FeaturesSettings
from shared.contracts.envelope import Event, Mark, Message, encode, encode_mark, rfc3339
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL, FEATURES, RECORDS
from shared.runtime.log import TopicPartition
from shared.runtime.tables import TableFollower
from tests import builders as b
from tests.unit.features.calls import HOUR_MS, record

TOPIC = RECORDS.of(b.SOURCE).name
WRITER = f"ingestion/accept/intake.{b.SOURCE}.v1/0"
PATH = f"/v1/features/{b.VIEW}"


class Features:
    """The service in the simulation; its input is written as ingestion would write it."""

    def __init__(self, seed: int = 1, faults: Faults = NO_FAULTS) -> None:
        settings = FeaturesSettings(entries_between_table_copies=10, table_copies_apart_s=0)
        self.world = World(seed, [lambda: build(settings)], faults)
        admin = self.world.broker.admin()
        admin.create(CONTROL.name, 1, {})
        for source in (b.SOURCE, b.LABELS):
            admin.create(RECORDS.of(source).name, 1, {})
        self.decide(b.founded())
        self.sequence = 0

    def decide(self, event: Event, time_ms: int = b.T0_MS) -> None:
        message = Message(derived_id(event.model_dump_json(), str(time_ms)), "test", time_ms, "", event)
        self.world.publish(CONTROL.name, 0, encode(message))

    def take(self, message: Message) -> None:
        self.sequence += 1
        event, key, time_ms = message.event, message.key, message.time_ms
        self.world.publish(TOPIC, 0, encode(Message(message.id, WRITER, time_ms, key, event, self.sequence, 2)))

    def mark(self, watermark_ms: int) -> None:
        self.world.publish(TOPIC, 0, encode_mark(Mark(WRITER, self.sequence, watermark_ms, 2)))

    def get(self, path: str, **query: Any) -> tuple[int, dict[str, Any]]:
        app = FastAPI()
        for router in routers(self.world.processes["features"], CollectorRegistry()):
            app.include_router(router)

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                return await client.get(path, params=query)

        answer = asyncio.run(ask())
        return answer.status_code, answer.json()


@pytest.fixture
def features() -> Features:
    made = Features()
    made.decide(b.applied())
    for n in range(3):
        made.take(record(f"t{n}", b.T0_MS + n * HOUR_MS // 2, amount=10.0 * (n + 1)))
    made.world.settle()
    return made


def test_at_the_time_asked_for(features: Features) -> None:
    at_ms = b.T0_MS + HOUR_MS // 2
    for at in (str(at_ms), rfc3339(at_ms)):
        status, body = features.get(f"{PATH}/c1", at=at)
        assert status == 200
        assert body == {
            "view": b.VIEW, "entity": "c1", "known": True, "at": rfc3339(at_ms), "at_ms": at_ms,
            "features": {"spend_mean_1h": 10.0, "count_24h": 1.0},
        }  # fmt: skip


def test_else_at_the_newest_tick_of_the_sources_clock(features: Features) -> None:
    assert features.get(f"{PATH}/c1")[1]["at_ms"] == b.T0_MS + HOUR_MS
    features.decide(b.tick(b.SOURCE), b.T0_MS + 3 * HOUR_MS)
    features.decide(b.tick(), b.T0_MS + 9 * HOUR_MS)
    features.world.settle()
    _, body = features.get(f"{PATH}/c1")
    assert body["at_ms"] == b.T0_MS + 3 * HOUR_MS
    assert body["features"] == {"spend_mean_1h": None, "count_24h": 3.0}


def test_an_unknown_entity_has_the_values_of_no_events(features: Features) -> None:
    status, body = features.get(f"{PATH}/no/such card")
    assert (status, body["known"], body["entity"]) == (200, False, "no/such card")
    assert body["features"] == {"spend_mean_1h": None, "count_24h": 0.0}


def test_a_forgotten_entity_is_not_known(features: Features) -> None:
    features.mark(b.T0_MS + 26 * HOUR_MS)
    features.world.settle()
    assert features.get(f"{PATH}/c1")[1]["known"] is False
    assert len(TableFollower.of(features.world.processes["features"])) == 0


def test_an_unknown_view_lists_those_that_are_declared(features: Features) -> None:
    status, body = features.get("/v1/features/cards/c1")
    assert (status, body) == (404, {"error": f"view 'cards' is not declared; declared are {b.VIEW}"})
    status, body = Features().get("/v1/features/cards/c1")
    assert status == 404
    assert "headrace apply" in body["error"]


def test_a_time_that_cannot_be_read_is_said(features: Features) -> None:
    status, body = features.get(f"{PATH}/c1", at="noon")
    assert status == 422
    assert "noon" in body["error"]


def test_nothing_is_answered_from_a_part_of_a_table(features: Features) -> None:
    world, tp = features.world, TopicPartition(FEATURES.of(b.VIEW).name, 0)
    [copy, *_] = world.processes["features"].history.newest.tables[b.VIEW, 0]
    world.broker.expire(tp, copy.position)
    world.artifacts.away = True
    world.crash("features")
    for _ in range(5):
        world.clock.pass_ms(200)
        world.turn("features")
    status, body = features.get(f"{PATH}/c1")
    assert status == 503
    assert f"its log begins at {copy.position}" in body["error"]
    world.artifacts.away = False
    world.settle()
    assert features.get(f"{PATH}/c1", at=str(b.T0_MS + 1))[1]["known"] is True


@pytest.mark.parametrize("seed", range(8))
def test_with_faults_the_table_is_that_of_a_calm_run(seed: int) -> None:
    found: list[dict[str, Any]] = []
    for faults in (NO_FAULTS, ALL_FAULTS):
        made = Features(seed, faults)
        made.decide(b.applied())
        for n in range(40):
            made.take(record(f"t{n}", b.T0_MS + n * 60_000, amount=n, key=f"c{n % 3}"))
            made.world.run(5)
        made.world.settle()
        table = TableFollower.of(made.world.processes["features"])
        rows = {key: table.row(b.VIEW, key) for key in ("c0", "c1", "c2")}
        found.append({key: row.state for key, row in rows.items() if row is not None})
    assert len(found[0]) == 3
    assert found[0] == found[1]
