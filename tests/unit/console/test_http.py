from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deploy.local.definitions_in_force import put_in_force
from services.console.cli.console_client import Refused
from services.console.settings import ConsoleSettings
from shared.contracts.envelope import encode, rfc3339
from shared.contracts.identity import derived_id
from shared.contracts.topics import PREDICTIONS
from tests import builders as b
from tests.unit.console.running import LOG_ID, RunningPlatform


@pytest.fixture(scope="module")
def platform() -> Iterator[RunningPlatform]:
    """One platform for the module, with the default definitions in force."""
    with RunningPlatform() as running:
        answer = post(running, "/v1/definitions", {"definitions": written(*b.declared()), "by": "ann"})
        assert answer.status_code == 200, answer.text
        yield running


def written(*definitions: Any) -> list[dict[str, Any]]:
    return [definition.model_dump(mode="json") for definition in definitions]


def get(platform: RunningPlatform, path: str) -> httpx.Response:
    return httpx.get(f"{platform.console}{path}", trust_env=False)


def post(platform: RunningPlatform, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return httpx.post(f"{platform.console}{path}", json=body, headers=headers, timeout=20, trust_env=False)


def control(platform: RunningPlatform) -> list[dict[str, Any]]:
    return get(platform, "/v1/control?limit=10000").json()["events"]


def test_definitions_come_into_force_and_can_be_read_back(platform: RunningPlatform) -> None:
    found = get(platform, "/v1/definitions").json()
    assert found["definitions"] == written(*b.declared())
    assert found["position"] >= 2


def test_a_dry_run_shows_the_difference_and_writes_nothing(platform: RunningPlatform) -> None:
    before = len(control(platform))
    other = b.model(name="other")
    answer = post(platform, "/v1/definitions", {"definitions": written(other), "dry_run": True}).json()
    assert answer["difference"] == ["+ Model other"]
    assert answer["applied"] is False
    assert len(control(platform)) == before


def test_definitions_that_do_not_fit_are_refused_with_every_problem(platform: RunningPlatform) -> None:
    changed = b.source(key="category", partitions=2)
    answer = post(platform, "/v1/definitions", {"definitions": written(changed)})
    assert answer.status_code == 422
    assert "key: changed from card_id to category" in answer.json()["detail"]
    assert "partitions: changed from 1 to 2" in answer.json()["detail"]


def test_definitions_compared_with_older_ones_are_refused_by_the_registry(platform: RunningPlatform) -> None:
    body = {"definitions": written(b.model(name="late")), "based_on": 0}
    answer = post(platform, "/v1/definitions", body)
    assert answer.status_code == 409
    assert "applied meanwhile" in answer.json()["error"]


def test_the_same_request_again_counts_once(platform: RunningPlatform) -> None:
    body = {"definitions": written(b.model(name="twice")), "request_id": "one-request"}
    first, second = (post(platform, "/v1/definitions", body) for _ in range(2))
    assert first.status_code == second.status_code == 200, second.text
    assert first.json()["control"] == second.json()["control"]
    asked = [
        e for e in control(platform) if e["type"] == "ApplyDefinitions" and e["event"]["request_id"] == "one-request"
    ]
    assert len(asked) == 1


def test_an_unknown_field_is_refused(platform: RunningPlatform) -> None:
    [definition] = written(b.source())
    answer = post(platform, "/v1/definitions", {"definitions": [{**definition, "colour": "red"}]})
    assert answer.status_code == 422
    assert "colour" in answer.json()["detail"]


def test_a_command_that_the_registry_refuses_says_why(platform: RunningPlatform) -> None:
    answer = post(platform, "/v1/commands", {"command": "promote", "model": b.MODEL, "version": 9, "by": "ann"})
    assert answer.status_code == 409
    assert "has no version 9" in answer.json()["error"]


def test_a_command_about_a_model_that_is_not_there(platform: RunningPlatform) -> None:
    answer = post(platform, "/v1/commands", {"command": "rollback", "model": "card_frud"})
    assert answer.status_code == 404
    assert "did you mean card_fraud?" in answer.json()["detail"]


def test_approve_without_a_version_is_refused(platform: RunningPlatform) -> None:
    answer = post(platform, "/v1/commands", {"command": "approve", "model": b.MODEL})
    assert answer.status_code == 422


def test_a_command_whose_effect_takes_longer_is_accepted(platform: RunningPlatform) -> None:
    # Nobody trains in this platform, so nothing can come of it.
    answer = post(platform, "/v1/commands", {"command": "retrain", "model": b.MODEL, "by": "ann"})
    assert answer.status_code == 202
    assert answer.json()["decided"] is None


def test_the_next_release_of_a_service_is_declared_once(platform: RunningPlatform) -> None:
    first, again = (post(platform, "/v1/releases", {"service": "features", "release": 2}).json() for _ in range(2))
    assert first == again == {"service": "features", "release": 2, "control": first["control"]}
    [declared] = [one for one in control(platform) if one["type"] == "ReleaseDeclared"]
    assert declared["event"] == {"service": "features", "release": 2}
    early = post(platform, "/v1/releases", {"service": "features", "release": 4})
    assert early.status_code == 422
    assert early.json()["detail"] == "features runs release 2: the next one is 3"


def test_ticks_move_a_sources_clock(platform: RunningPlatform) -> None:
    ends = {b.SOURCE: {"0": 0}}
    body = {"sources": [b.SOURCE], "time_ms": b.T0_MS, "ends": ends, "adopt": 3, "request_id": "tick-1"}
    position = post(platform, "/v1/ticks", body).json()["control"]
    assert post(platform, "/v1/ticks", body).json()["control"] == position
    as_of = get(platform, f"/v1/platform/as-of/{position}").json()
    assert as_of["ticks"][b.SOURCE] == rfc3339(b.T0_MS)
    assert b.SOURCE not in get(platform, f"/v1/platform/as-of/{position - 1}").json()["ticks"]
    [tick] = [e for e in control(platform) if e["control"] == position]
    assert tick["event"]["ends"] == ends
    assert tick["event"]["adopt"] == 3


def test_a_tick_of_a_source_that_is_not_there(platform: RunningPlatform) -> None:
    answer = post(platform, "/v1/ticks", {"sources": ["nobody"], "time_ms": 1})
    assert answer.status_code == 422


def test_a_position_that_is_not_there(platform: RunningPlatform) -> None:
    answer = get(platform, "/v1/platform/as-of/100000")
    assert answer.status_code == 404


def test_control_can_be_read_in_parts(platform: RunningPlatform) -> None:
    whole, parts, at = control(platform), [], 0
    while True:
        found = get(platform, f"/v1/control?from={at}&limit=2").json()
        parts += found["events"]
        if found["next"] == at:
            break
        at = found["next"]
    assert parts[: len(whole)] == whole
    assert whole[0]["type"] == "PlatformFounded"


def test_progress_of_every_service(platform: RunningPlatform) -> None:
    answered = {"console": LOG_ID, "ingestion": LOG_ID, "registry": LOG_ID}
    platform.until("/v1/progress", lambda found: {name: one.get("log_id") for name, one in found.items()} == answered)


def test_records_are_counted_as_they_pass(platform: RunningPlatform) -> None:
    lines = b'{"transaction_id": "t1", "card_id": "c1", "at": 1790000000000, "amount": 12.5, "category": "food"}\n'
    platform.until("/v1/progress", lambda found: "transactions/0" in found["ingestion"]["applied"])
    url = f"{platform.urls['ingestion']}/v1/records/{b.SOURCE}"
    answer = httpx.post(url, content=lines * 3, timeout=20, trust_env=False)
    assert answer.status_code == 202, answer.text
    found = platform.until("/v1/counts", lambda found: found["sources"][b.SOURCE]["published"] == 3)
    found = platform.until("/v1/counts", lambda found: found["sources"][b.SOURCE]["accepted"] == 1)
    assert found["models"][b.MODEL]["accepted"] == 1


def test_why_goes_from_a_prediction_to_the_run(platform: RunningPlatform) -> None:
    answer = post(platform, "/v1/definitions", {"definitions": written(b.model(name="told"))})
    assert answer.status_code == 200, answer.text
    topic = PREDICTIONS.of("told").name
    platform.say(b.run_requested(model="told"), b.run_finished(model="told"))
    platform.until("/v1/models/told", lambda found: len(found["versions"]) == 1)
    platform.say(b.replica_ready(model="told"))
    platform.until("/v1/models/told", lambda found: found["champion"] == 1)
    platform.world.broker.admin().create(topic, 1, {})
    event = b.prediction(model="told", record_id='odd "id"')
    platform.world.publish(topic, 0, encode(b.message(event, id=derived_id("test", "prediction"))))
    found = platform.until("/v1/models/told/why?prediction=odd%20%22id%22", lambda found: "reasons" in found)
    assert found["prediction"]["record_id"] == 'odd "id"'
    assert found["version"] == 1
    links = [reason["link"] for reason in found["reasons"]]
    assert links == ["live", "approval", "version", "run", "run", "data"]
    by_version = get(platform, "/v1/models/told/why?version=1").json()
    assert by_version["reasons"] == found["reasons"]


def test_why_of_what_is_not_there(platform: RunningPlatform) -> None:
    assert get(platform, f"/v1/models/{b.MODEL}/why").status_code == 404
    assert get(platform, f"/v1/models/{b.MODEL}/why?version=7").status_code == 404


def test_beyond_loopback_a_change_needs_the_token() -> None:
    settings = ConsoleSettings(host="0.0.0.0", token="secret")
    with RunningPlatform(settings) as running:
        body = {"definitions": written(*b.declared())}
        assert post(running, "/v1/definitions", body).status_code == 401
        assert post(running, "/v1/definitions", body, authorization="Bearer wrong").status_code == 401
        assert post(running, "/v1/definitions", body, authorization="Bearer secret").status_code == 200
        assert get(running, "/v1/status").status_code == 200


def test_clients_are_told_the_urls_that_they_reach_and_bring_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ConsoleSettings(host="0.0.0.0", token="secret", public_urls={"ingestion": "http://headrace.test:8101"})
    with RunningPlatform(settings) as running:
        assert get(running, "/v1/services").json() == {**running.urls, "ingestion": "http://headrace.test:8101"}
        running.until("/v1/progress", lambda found: found["ingestion"].get("log_id") == LOG_ID)
        monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
        with pytest.raises(Refused, match="HEADRACE_TOKEN") as refused:
            put_in_force(running.console, b.declared(), by="ann")
        assert refused.value.status == 401
        monkeypatch.setenv("HEADRACE_TOKEN", "secret")
        assert put_in_force(running.console, b.declared(), by="ann")
