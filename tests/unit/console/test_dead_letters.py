"""`/v1/dead` and `headrace dead` over a platform whose ingestion has a defect, which is mended on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from deploy.local.definitions_in_force import put_in_force
from services.console.cli import main
from services.console.dead_letter_list import KEPT_LETTERS, DeadLetters, LetterUnknown
from services.console.settings import ConsoleSettings
from shared.contracts.envelope import Encoded, Message
from shared.contracts.flow import IntakeRecord
from shared.contracts.topics import dead_letters
from shared.runtime.dead_letters import dead_letter
from shared.runtime.log import LogRecord, TopicPartition
from shared.runtime.service import Service
from shared.runtime.step import Context
from tests import builders as b
from tests.unit.console.running import RunningPlatform

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
RECORD = {"card_id": "c1", "at": b.T0_MS, "amount": 1.0, "category": "food"}


class Defect:
    """`accept` raises on records that are poison, until it is mended."""

    def __init__(self) -> None:
        self.mended = False

    def __call__(self, service: Service) -> Service:
        accept = service.steps["accept"]
        handler = accept.events[IntakeRecord]

        def poisoned(state: Any, message: Message, context: Context) -> Any:
            assert isinstance(message.event, IntakeRecord)
            if "poison" in message.event.record_id and not self.mended:
                raise ValueError(f"cannot take {message.event.record_id}")
            return handler(state, message, context)

        steps = {**service.steps, "accept": replace(accept, events={IntakeRecord: poisoned})}
        return replace(service, steps=steps)


class Desk:
    """A platform and its defect, and what is asked of them."""

    def __init__(self, running: RunningPlatform, defect: Defect) -> None:
        self.running, self.defect = running, defect

    def publish(self, record_id: str) -> dict[str, Any]:
        """A record on which `accept` raises; its letter, once it is there."""
        record = {**RECORD, "transaction_id": record_id}
        answer = httpx.post(
            f"{self.running.urls['ingestion']}/v1/records/{b.SOURCE}", json=record, headers={"traceparent": TRACE},
            trust_env=False,
        )  # fmt: skip
        assert answer.status_code == 202, answer.text
        return self.letter(lambda letter: letter["reason"] == f"cannot take {record_id}")

    def letter(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        found = self.running.until("/v1/dead?limit=1000", lambda dead: any(map(wanted, dead["dead"])))
        return next(letter for letter in found["dead"] if wanted(letter))

    def replay(self, letter_id: str, **headers: str) -> httpx.Response:
        url = f"{self.running.console}/v1/dead/{letter_id}/replay"
        return httpx.post(url, json={"by": "ann"}, headers=headers, timeout=20, trust_env=False)

    def accepted(self) -> int:
        return self.running.until("/v1/counts", lambda found: True)["sources"][b.SOURCE]["accepted"]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.running.console}{path}", trust_env=False)


@pytest.fixture
def desk() -> Iterator[Desk]:
    defect = Defect()
    with RunningPlatform(altered=defect) as running:
        put_in_force(running.console, b.declared(), by="ann")
        running.until("/v1/progress", lambda found: f"{b.SOURCE}/0" in found["ingestion"]["applied"])
        yield Desk(running, defect)


def test_a_letter_is_listed_shown_and_replayed_once_the_defect_is_mended(desk: Desk) -> None:
    letter = desk.publish("poison-1")
    task = f"ingestion/accept/intake.{b.SOURCE}.v1/0"
    assert (letter["service"], letter["task"], letter["error"]) == ("ingestion", task, "ValueError")
    assert (letter["topic"], letter["trace_id"], letter["timer"]) == (f"intake.{b.SOURCE}.v1", "a" * 32, None)
    assert letter["replayed"] is None
    whole = desk.get(f"/v1/dead/{letter['letter_id']}").json()
    assert (whole["key"], whole["value_as"], whole["value"]["record_id"]) == ("c1", "json", "poison-1")
    assert "in poisoned" in whole["stack_trace"]
    headers = {header["name"]: header["value"] for header in whole["headers"]}
    assert headers["ce_id"] == letter["event_id"]
    assert not any(name.startswith("__connect") for name in headers)

    # Not mended yet: it dies again, in a letter of its own.
    first = desk.replay(letter["letter_id"]).json()["replayed"]
    assert (first["topic"], first["by"]) == (letter["topic"], "ann")
    second = desk.letter(lambda other: other["event_id"] == first["event_id"])
    assert second["letter_id"] != letter["letter_id"]
    assert desk.accepted() == 0

    desk.defect.mended = True
    again = desk.replay(second["letter_id"][:12])
    assert again.status_code == 200, again.text
    desk.running.until("/v1/counts", lambda found: found["sources"][b.SOURCE]["accepted"] == 1)
    assert desk.replay(second["letter_id"]).json() == again.json()
    assert desk.replay(letter["letter_id"]).json()["replayed"] == first
    assert desk.letter(lambda other: other["letter_id"] == second["letter_id"])["replayed"] == again.json()["replayed"]
    assert desk.accepted() == 1
    replays = [e for e in desk.get("/v1/control?limit=1000").json()["events"] if e["type"] == "DeadLetterReplayed"]
    assert [e["event"]["letter_id"] for e in replays] == [letter["letter_id"], second["letter_id"]]
    assert desk.get("/v1/counts").json()["dead"]["ingestion"] == 2


def test_what_stands_there_twice_counts_once(desk: Desk) -> None:
    """As where the console died between the replay and the word of it, and was asked again."""
    letter = desk.publish("poison-1")
    desk.defect.mended = True
    assert desk.replay(letter["letter_id"]).status_code == 200
    landed = desk.running.world.broker.history(TopicPartition(letter["topic"], 0))
    [sent] = [record for record in landed if dict(record.headers).get("ce_replayfor")]
    with desk.running._lock:
        desk.running.world.publish(letter["topic"], 0, Encoded(sent.key, sent.value, sent.headers))
    desk.running.until(
        "/v1/progress", lambda found: found["ingestion"]["applied"][f"{letter['topic']}/0"] == sent.offset + 2
    )
    desk.running.until("/v1/counts", lambda found: found["sources"][b.SOURCE]["accepted"] > 0)
    assert desk.accepted() == 1


def test_the_list_is_by_service_newest_first_and_limited(desk: Desk) -> None:
    for n in range(3):
        desk.publish(f"poison-{n}")
    found = desk.get("/v1/dead?service=ingestion&limit=2").json()["dead"]
    assert [letter["reason"] for letter in found] == ["cannot take poison-2", "cannot take poison-1"]
    assert desk.get("/v1/dead?service=serving").json() == {"dead": []}
    assert desk.get("/v1/dead?limit=0").status_code == 422


def test_what_cannot_be_replayed_is_refused_with_the_reason(desk: Desk) -> None:
    spec = next(task for task in b.definitions().tasks if task.step == "intake")
    large = LogRecord(spec.topic, 0, 0, 0, None, b"x" * 99_000, ())
    letter = dead_letter(spec, large, ValueError("no"), "", None, 90_000).encoded
    with desk.running._lock:
        desk.running.world.publish(dead_letters("ingestion"), 0, letter)
        desk.running.world.publish(dead_letters("ingestion"), 0, Encoded(None, b"no letter at all", ()))
    found = desk.letter(lambda one: one["task"] == spec.id)
    whole = desk.get(f"/v1/dead/{found['letter_id']}").json()
    assert (whole["value_as"], whole["length"]) == ("text", 65_536)
    answer = desk.replay(found["letter_id"])
    assert answer.status_code == 409
    assert "only the first 64 kB" in answer.json()["detail"]
    assert desk.get("/v1/dead").json()["dead"][0]["replayed"] is None


def test_a_letter_that_nobody_knows_is_404(desk: Desk) -> None:
    for answer in (desk.get("/v1/dead/nothing"), desk.replay("nothing")):
        assert answer.status_code == 404
        assert "headrace dead list" in answer.json()["detail"]


def test_beyond_loopback_a_replay_needs_the_token() -> None:
    defect = Defect()
    with RunningPlatform(ConsoleSettings(host="0.0.0.0", token="secret"), defect) as running:
        desk = Desk(running, defect)
        body = {"definitions": [one.model_dump(mode="json") for one in b.declared()]}
        answer = httpx.post(
            f"{running.console}/v1/definitions", json=body, headers={"authorization": "Bearer secret"}, timeout=20,
            trust_env=False,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        running.until("/v1/progress", lambda found: f"{b.SOURCE}/0" in found["ingestion"]["applied"])
        letter = desk.publish("poison-1")["letter_id"]
        assert desk.get(f"/v1/dead/{letter}").status_code == 200
        assert desk.replay(letter).status_code == 401
        assert desk.replay(letter, authorization="Bearer wrong").status_code == 401
        assert desk.replay(letter, authorization="Bearer secret").status_code == 200


# --- the command


def test_the_commands_list_show_and_replay(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_CONSOLE_URL", desk.running.console)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["dead", *arguments])
        said = capsys.readouterr()
        return code, str(said.out), str(said.err)

    assert run("list") == (0, "there is no dead letter\n", "")
    letter = desk.publish("poison-1")["letter_id"]
    _, listed, _ = run("list", "ingestion")
    [row] = [line for line in listed.splitlines() if line.split()[:1] == [letter[:8]]]
    assert f"intake.{b.SOURCE}.v1/0@" in row
    assert "cannot take poison-1" in row
    assert json.loads(run("list", "--limit", "5", "--json")[1])["dead"][0]["letter_id"] == letter
    code, shown, _ = run("show", letter[:8])
    assert code == 0
    for part in ('"record_id": "poison-1"', "header traceparent", "in poisoned", "a" * 32):
        assert part in shown
    assert json.loads(run("show", letter, "--json")[1])["value"]["record_id"] == "poison-1"
    desk.defect.mended = True
    code, said, _ = run("replay", letter[:8], "--by", "ann")
    assert code == 0
    assert f"letter {letter} stands at intake.{b.SOURCE}.v1/0@" in said
    assert "by ann" in said
    desk.running.until("/v1/counts", lambda found: found["sources"][b.SOURCE]["accepted"] == 1)
    assert json.loads(run("replay", letter, "--json")[1])["replayed"]["by"] == "ann"
    code, nothing, why = run("replay", "nothing")
    assert (code, nothing) == (1, "")
    assert "there is no dead letter nothing" in why


# --- the list by itself


def record_of(number: int, service: str = "ingestion") -> LogRecord:
    spec = next(task for task in b.definitions().tasks if task.step == "intake")
    letter = dead_letter(
        spec, LogRecord(spec.topic, 0, number, 0, None, b"{", ()), ValueError("no"), "", None, 1_000_000
    )
    return LogRecord(dead_letters(service), 0, number, number, letter.encoded.key, b"{", letter.encoded.headers)


def test_the_same_letter_sent_again_is_one_and_the_oldest_are_forgotten() -> None:
    letters = DeadLetters()
    assert [letters.take(record_of(n)) for n in (0, 0, 1)] == [True, False, True]
    for n in range(2, KEPT_LETTERS + 1):
        letters.take(record_of(n))
    assert [letter.offset for letter in letters.newest()[:2]] == [KEPT_LETTERS, KEPT_LETTERS - 1]
    assert len(letters.newest()) == KEPT_LETTERS
    with pytest.raises(LetterUnknown, match="there is no dead letter"):
        letters.find(dict(record_of(0).headers)["headrace_dead_id"].decode())
    with pytest.raises(LetterUnknown, match="ids that begin with"):
        letters.find("")


def test_json_of_bytes_that_are_no_text_is_hexadecimal(desk: Desk) -> None:
    spec = next(task for task in b.definitions().tasks if task.step == "intake")
    record = LogRecord(spec.topic, 0, 0, 0, b"\xff", b"\xfe\x00", (("h", b"\xfd"),))
    letter = dead_letter(spec, record, ValueError("no"), "", None, 1_000_000).encoded
    with desk.running._lock:
        desk.running.world.publish(dead_letters("ingestion"), 0, letter)
    letter_id = desk.letter(lambda one: one["task"] == spec.id)["letter_id"]
    whole = orjson.loads(desk.get(f"/v1/dead/{letter_id}").content)
    assert (whole["key"], whole["value_as"], whole["value"]) == ({"hex": "ff"}, "hex", {"hex": "fe00"})
    assert whole["headers"] == [{"name": "h", "value": {"hex": "fd"}}]
