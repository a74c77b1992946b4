from __future__ import annotations

import httpx
import pytest

from deploy.local.readiness import unready

URL = "http://127.0.0.1:1/readyz"


def answer(**reasons: str) -> httpx.Response:
    return httpx.Response(503, json={"ready": False, "reasons": reasons})


def test_a_service_that_waits_for_a_person_is_at_work() -> None:
    found = unready(URL, answer(**{"ingestion/intake/orders/0": "Topic orders has 3 partitions"}))
    assert found.at_work
    assert found.why == "ingestion/intake/orders/0: Topic orders has 3 partitions"


@pytest.mark.parametrize("reason", ["kafka", "start", "control.v1"])
def test_one_without_its_broker_or_its_log_is_not(reason: str) -> None:
    assert not unready(URL, answer(**{reason: "it is away", "ingestion/intake/orders/0": "its topic"})).at_work


@pytest.mark.parametrize("body", ["", "Internal Server Error", "[]", '{"ready": false}', '{"reasons": 3}'])
def test_an_answer_that_says_nothing_is_quoted(body: str) -> None:
    found = unready(URL, httpx.Response(500, text=body))
    assert not found.at_work
    assert found.why == f"{URL} answered {body}"
