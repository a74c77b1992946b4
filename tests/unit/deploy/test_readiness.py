from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from deploy.local.readiness import AT_WORK_AFTER_S, READY_TIMEOUT_S, Unready, begun_without, unready
from deploy.local.supervisor import ProcessesFailed

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


WAITS, SILENT = Unready("its topic has 3 partitions", at_work=True), Unready("it does not answer")
LOGS = Path("logs")


def test_a_platform_begins_beside_what_a_person_has_to_mend_and_not_without_a_service() -> None:
    assert not begun_without({"ingestion": WAITS}, AT_WORK_AFTER_S, LOGS)
    assert begun_without({"ingestion": WAITS}, AT_WORK_AFTER_S + 1, LOGS)
    both = {"ingestion": WAITS, "serving": SILENT}
    assert not begun_without(both, READY_TIMEOUT_S, LOGS)
    with pytest.raises(ProcessesFailed, match=r"serving: it does not answer\. Logs are in logs"):
        begun_without(both, READY_TIMEOUT_S + 1, LOGS)
