from __future__ import annotations

import io
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.platform import LocalPlatform
from services.console.cli import main
from services.console.cli.console_client import ConsoleClient
from services.console.cli.failure import CommandFailed
from services.console.cli.record_commands import LINES_A_REQUEST, parts
from services.console.cli.status_command import doing, estimated, rates, view
from shared.runtime.log import AccessDenied, BrokerAway, FlushTimedOut, LogError
from tests import builders as b
from tests.unit.console.running import RunningPlatform

NOBODY = "http://127.0.0.1:9"
DEFINITIONS = """
kind: Source
name: transactions
key: card_id
id: transaction_id
time: {field: at, clock: events}
fields: {card_id: string, amount: {type: number, minimum: 0}, category: {type: string, enum: [food, travel, web]}}
---
kind: Source
name: chargebacks
key: transaction_id
id: chargeback_id
time: {field: at, clock: events}
fields: {transaction_id: string, is_fraud: boolean}
---
kind: Model
name: card_fraud
scores: transactions
task: binary
inputs: {fields: [amount, category]}
label: {source: chargebacks, field: is_fraud, joins: transaction_id, matures_after: 10m, expires_after: 1d}
"""


class Ran:
    """What a command line gave back."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """One platform for the module, with definitions that the command line has applied."""
    file = tmp_path_factory.mktemp("definitions") / "definitions.yaml"
    file.write_text(DEFINITIONS)
    with RunningPlatform() as running:
        assert main(["apply", "-f", str(file), "--yes", "--console", running.console]) == 0
        yield running


@pytest.fixture
def headrace(platform: RunningPlatform, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command line against the platform."""
    monkeypatch.setenv("HEADRACE_CONSOLE_URL", platform.console)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return Ran(code, str(said.out), str(said.err))

    return run


@pytest.fixture
def alone(capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command line where no platform is."""

    def run(*arguments: str) -> Ran:
        code = main(arguments)
        said = capsys.readouterr()
        return Ran(code, str(said.out), str(said.err))

    return run


# --- with a platform


def test_apply_says_that_nothing_changes(headrace: Any, tmp_path: Path) -> None:
    file = tmp_path / "same.yaml"
    file.write_text(DEFINITIONS)
    ran = headrace("apply", "-f", str(file))
    assert (ran.code, ran.out) == (0, "")
    assert "nothing changes" in ran.err


def test_apply_asks_for_yes_where_nobody_can_be_asked(
    headrace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    file = tmp_path / "more.yaml"
    file.write_text(DEFINITIONS.replace("name: card_fraud", "name: second"))
    ran = headrace("apply", "-f", str(file))
    assert ran.code == 1
    assert "+ Model second" in ran.out
    assert f"headrace apply -f {file} --yes" in ran.err


def test_apply_refuses_a_file_with_its_line(headrace: Any, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(DEFINITIONS.replace("task: binary", "task: binry"))
    ran = headrace("apply", "-f", str(file), "--yes")
    assert ran.code == 1
    assert f"{file}:" in ran.err
    assert "binry" in ran.err


def test_apply_as_json_prints_nothing_else(headrace: Any, tmp_path: Path) -> None:
    file = tmp_path / "third.yaml"
    file.write_text(DEFINITIONS.replace("name: card_fraud", "name: third"))
    ran = headrace("apply", "-f", str(file), "--yes", "--json")
    assert ran.code == 0, ran.err
    assert ran.document["applied"] is True
    assert "+ Model third" in ran.document["difference"]


def test_release_says_where_it_begins(headrace: Any) -> None:
    ran = headrace("release", "training", "2")
    assert ran.code == 0
    assert ran.out.startswith("release 2 of training begins at the first entry of each log that shows control position")
    again = headrace("release", "training", "2", "--json").document
    assert (again["service"], again["release"]) == ("training", 2)
    refused = headrace("release", "training", "4")
    assert (refused.code, "the next one is 3" in refused.err) == (1, True)
    unknown = headrace("release", "trainning", "2")
    assert (unknown.code, "there is no service 'trainning'" in unknown.err) == (1, True)


def test_publish_then_status_and_rejected(headrace: Any, platform: RunningPlatform, tmp_path: Path) -> None:
    platform.until("/v1/progress", lambda found: "transactions/0" in found["ingestion"]["applied"])
    file = tmp_path / "records.ndjson"
    record = {"card_id": "c1", "at": b.T0_MS, "amount": 1.0, "category": "food"}
    file.write_text("".join(json.dumps({**record, "transaction_id": f"t{n}"}) + "\n" for n in range(1_234)))
    ran = headrace("publish", "transactions", str(file), "--json")
    assert ran.code == 0, ran.err
    assert ran.document == {"source": "transactions", "published": 1_234}
    platform.until("/v1/counts", lambda found: found["sources"]["transactions"]["accepted"] == 1_234)
    status = headrace("status", "--json").document
    assert status["sources"]["transactions"]["published"] == 1_234
    assert status["models"]["card_fraud"]["counts"]["accepted"] == 1_234
    shown = headrace("status")
    assert "1,234" in shown.out
    assert "0 of 2,000 labelled rows for the first version" in shown.out
    assert headrace("rejected", "--json").document == {"rejected": []}


def test_publish_says_which_lines_do_not_fit(headrace: Any, platform: RunningPlatform, tmp_path: Path) -> None:
    platform.until("/v1/progress", lambda found: "transactions/0" in found["ingestion"]["applied"])
    file = tmp_path / "bad.ndjson"
    good = {"transaction_id": "x", "card_id": "c1", "at": b.T0_MS, "amount": 1.0, "category": "food"}
    lines = [json.dumps(good)] * (LINES_A_REQUEST + 2) + [json.dumps({**good, "amount": -1})]
    file.write_text("\n".join(lines))
    ran = headrace("publish", "transactions", str(file))
    assert ran.code == 1
    assert f"line {LINES_A_REQUEST + 3}: out_of_range" in ran.err
    assert f"{LINES_A_REQUEST} records before them were published" in ran.err


def test_publish_to_a_source_that_is_not_there(headrace: Any, tmp_path: Path) -> None:
    file = tmp_path / "one.ndjson"
    file.write_text("{}\n")
    ran = headrace("publish", "nobody", str(file))
    assert ran.code == 1
    assert "source 'nobody' is not declared" in ran.err


def test_publish_of_a_file_that_is_not_there(headrace: Any, tmp_path: Path) -> None:
    ran = headrace("publish", "transactions", str(tmp_path / "none"))
    assert ran.code == 1
    assert "cannot be read" in ran.err


def test_a_refused_command_exits_with_one(headrace: Any) -> None:
    for command in (("approve", "card_fraud", "9"), ("promote", "card_fraud", "9"), ("rollback", "card_fraud")):
        ran = headrace(*command, "--by", "ann")
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("headrace: ")


def test_models_runs_and_why_of_a_model_that_has_come_to_a_version(headrace: Any, platform: RunningPlatform) -> None:
    member = {"family": "logistic_regression", "window": "all", "parameters": {"C": 1.0}, "loss": 0.1}
    platform.say(b.run_requested(), b.run_finished(family="average", parameters={"members": [member] * 2}))
    platform.until("/v1/models/card_fraud", lambda found: len(found["versions"]) == 1)
    platform.say(b.replica_ready())
    platform.until("/v1/models/card_fraud", lambda found: found["champion"] == 1)
    models = headrace("models")
    assert "champion" in models.out
    assert headrace("models", "--json").document["models"][0]["champion"] == 1
    runs = headrace("runs", "card_fraud")
    assert "bootstrap" in runs.out
    assert headrace("runs", "--json").document["runs"][0]["parameters"]["members"] == [member] * 2
    assert "average" in runs.out
    assert "logistic_regression" not in runs.out
    assert headrace("runs", "--json").document["runs"][0]["version"] == 1
    why = headrace("why", "card_fraud")
    assert "run requested (bootstrap)" in why.out
    assert "average of 2" in why.out
    assert headrace("why", "card_fraud", "--version", "1", "--json").document["version"] == 1
    again = headrace("promote", "card_fraud", "1", "--by", "ann")
    assert "answers already" in again.err


def test_another_service_than_the_console_is_told(alone: Any, platform: RunningPlatform) -> None:
    ran = alone("status", "--console", platform.urls["registry"])
    assert (ran.code, ran.out) == (1, "")
    assert "is it another service?" in ran.err
    assert "HEADRACE_CONSOLE_URL" in ran.err


# --- without one


def test_what_is_no_url_is_told(alone: Any) -> None:
    ran = alone("status", "--console", "localhost:8100")
    assert (ran.code, ran.out) == (1, "")
    assert "localhost:8100 is no URL: expected one such as http://127.0.0.1:8100" in ran.err


def test_who_does_not_answer_in_time_is_told_with_the_command_that_shows_why() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = ConsoleClient(url, timeout_s=0.2)
        with pytest.raises(CommandFailed, match=f"`headrace status --console {url}`"):
            client.get("/v1/status")
        client.close()


@pytest.mark.parametrize("command", ["status", "models", "runs", "rejected", "why card_fraud", "retrain card_fraud"])
def test_without_a_platform_the_command_that_starts_it_is_named(alone: Any, command: str) -> None:
    ran = alone(*command.split(), "--console", NOBODY)
    assert (ran.code, ran.out) == (1, "")
    assert f"nothing answers at {NOBODY}" in ran.err
    assert "`headrace up`" in ran.err


@pytest.mark.parametrize("broken", [BrokerAway("127.0.0.1:9"), AccessDenied("no such user"), FlushTimedOut(3, 60.0)])
def test_a_log_that_fails_is_an_error_and_no_traceback(
    alone: Any, monkeypatch: pytest.MonkeyPatch, broken: LogError
) -> None:
    def fails(options: object) -> int:
        raise broken

    monkeypatch.setattr("deploy.local.replay.run_replay", fails)
    ran = alone("replay", "definitions.yaml", "file.csv", "--json")
    assert (ran.code, ran.out, ran.err) == (1, "", f"headrace: {broken}\n")


def test_up_as_json_says_why_a_log_that_fails_stops_it(
    alone: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(platform: LocalPlatform) -> None:
        raise BrokerAway("127.0.0.1:9")

    monkeypatch.setattr("deploy.local.up.LocalPlatform.__enter__", fails)
    ran = alone("up", "--json", "--data", str(tmp_path))
    assert ran.code == 1
    assert json.loads(ran.out)["reason"].startswith("No Kafka broker answers at 127.0.0.1:9.")
    assert "No Kafka broker answers" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("status", "--colour"),
        ("promote", "m", "first"),
        ("replay", "a", "b", "--pace", "3"),
        ("replay", "a", "b", "--stay"),
        ("why",),
    ],
)
def test_what_is_not_understood_exits_with_two(alone: Any, arguments: tuple[str, ...]) -> None:
    ran = alone(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err


def test_parts_of_a_file_know_their_first_line() -> None:
    lines = b"".join(b'{"n": %d}\n' % n for n in range(2 * LINES_A_REQUEST + 1))
    found = list(parts(io.BytesIO(lines)))
    assert [first for first, _ in found] == [1, LINES_A_REQUEST + 1, 2 * LINES_A_REQUEST + 1]
    assert b"".join(part for _, part in found) == lines
    assert list(parts(io.BytesIO(b"\n\n"))) == []


def test_rates_of_sources_that_both_looks_know() -> None:
    before = {"sources": {"a": {"accepted": 10}}}
    now = {"sources": {"a": {"accepted": 30}, "b": {"accepted": 5}}}
    assert rates(before, now, 2.0) == {"a": 10.0}


def test_what_happens_to_a_model_in_words() -> None:
    model = {
        "run": None, "rollout": None, "champion": None, "labelled": 1_200, "minimum_rows": 2_000,
        "counts": {"revised": 0},
    }  # fmt: skip
    assert doing(model) == "1,200 of 2,000 labelled rows for the first version"
    assert doing({**model, "counts": {"revised": 1_500}}) == (
        "1,200 of 2,000 labelled rows for the first version; "
        "1,500 labels came after label.matures_after and count as revisions only"
    )
    rollout = {"candidate": 2, "phase": "step", "share": 0.25}
    run = {"reason": "drift", "fraction": 0.5, "doing": "search"}
    assert doing({**model, "champion": 1, "run": run}) == "run (drift) 50% search"
    assert doing({**model, "champion": 1, "rollout": rollout}) == "version 2 in step 25% of traffic"
    figures = {
        "mean_difference": -0.0123, "lower": -0.041, "upper": 0.0164, "outcomes": 1_450, "e_value": 7.25,
        "threshold": 100.0,
    }  # fmt: skip
    assert doing({**model, "champion": 1, "rollout": {**rollout, "figures": figures}}) == (
        "version 2 in step 25% of traffic: loss -0.0123 in [-0.041, +0.016] over 1,450 pairs, e-value 7.25 of 100"
    )


def test_an_estimate_stands_beside_how_far_the_last_one_was_off() -> None:
    quality = {"estimated": {"accuracy": 0.81234, "loss": 0.2}, "estimate_error": {}}
    assert estimated(quality) == "accuracy 0.8123"
    assert estimated({**quality, "estimate_error": {"accuracy": -0.0251}}) == "accuracy 0.8123 (last off by -0.0251)"
    assert [estimated(none) for none in (None, {}, {"estimated": {}})] == [None, None, None]


def test_what_is_monitored_and_what_moved_can_be_shown() -> None:
    from rich.console import Console

    told = b.inputs_moved().model_dump(mode="json")
    model = {
        "champion": 1, "run": None, "rollout": None, "newest_moved": told,
        "newest_quality": {"window": {}, "monitored": {"inputs": "5 against 5000 rows"}},
        "counts": {
            "scored": 10, "joined": 5, "quality": None, "metric": "accuracy", "alarms": [], "retrainings": 0,
            "promotions": 0,
        },
    }  # fmt: skip
    console = Console(file=io.StringIO(), width=200)
    document = {"log_id": None, "control": 0, "ticks": {}, "services": {}, "sources": {}, "models": {"m": model}}
    console.print(view(document))
    said = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "5 against 5000 rows" in said
    assert "amount (higher), by scored record 1899" in said
    console.print(view({**document, "models": {"m": {**model, "newest_quality": {"window": {}}}}}))  # as it was before


def test_an_empty_status_can_be_shown() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120)
    away = {"registry": {"state": "away", "error": "nothing answers at [::1]"}}
    console.print(view({"log_id": None, "control": 0, "ticks": {}, "services": away, "sources": {}, "models": {}}))
    said = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "not founded" in said
    assert "[::1]" in said
