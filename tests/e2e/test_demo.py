"""`make demo` for real: seven processes, the embedded broker, and a client that asks over HTTP all the while."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from shared.contracts import control as c
from tests.e2e.conftest import PORT_BASE, ROOT, WatchedDemo


def events_of(result: dict[str, Any], kind: type[Any]) -> list[dict[str, Any]]:
    return [event["data"] for event in result["events"] if event["event"] == kind.ce_type]


@pytest.mark.timeout(900)
def test_what_must_always_hold_holds_of_the_demo(watched_demo: WatchedDemo) -> None:
    assert watched_demo.evidence.violations() == []


@pytest.mark.timeout(900)
def test_the_demo_heals_its_model_while_it_is_asked(watched_demo: WatchedDemo) -> None:
    code, result = watched_demo.code, watched_demo.result
    assert result["missing"] == []
    assert (code, result["whole"], result["story"]) == (0, True, "drift")
    assert result["http"]["asked"] >= 5_000
    assert result["http"]["failed"] == 0
    promoted = events_of(result, c.VersionPromoted)
    assert [event["by"] for event in promoted][:2] == ["first", "rollout"]
    answered = {version for version, _ in result["http"]["versions"]}
    assert answered >= {promoted[0]["version"], promoted[1]["version"]}
    assert events_of(result, c.DriftDetected)
    runs = events_of(result, c.RunRequested)
    assert [run["reason"] for run in runs][:2] == ["bootstrap", "drift"]
    advanced = events_of(result, c.RolloutAdvanced)
    assert [event["phase"] for event in advanced][:2] == ["shadow", "step"]
    quality = result["quality"]
    assert quality["before_drift"]["log_loss"] < quality["after_promotion"]["log_loss"]
    assert quality["after_promotion"]["log_loss"] < quality["drift_to_promotion"]["log_loss"]


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_the_demo_without_a_drift_sees_nothing_promoted() -> None:
    ended = run(["make", "demo", f"ARGS=--no-drift --json --port-base {PORT_BASE}"])
    assert_nothing_went_live(ended, "calm")


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_the_demo_of_a_worse_candidate_sees_it_stopped() -> None:
    ended = run(["make", "demo-bad-candidate", f"ARGS=--json --port-base {PORT_BASE}"])
    assert_nothing_went_live(ended, "bad_candidate")


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def assert_nothing_went_live(ended: subprocess.CompletedProcess[str], story: str) -> None:
    """But the first version."""
    assert ended.stdout, ended.stderr[-4_000:]
    result = json.loads(ended.stdout)
    assert (ended.returncode, result["missing"], result["story"]) == (0, [], story)
    assert [event["by"] for event in events_of(result, c.VersionPromoted)] == ["first"]
    assert result["http"]["failed"] == 0
