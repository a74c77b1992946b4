"""`headrace demo` for real: seven processes, the embedded broker, and a client that asks over HTTP all the while."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.contracts import control as c

ROOT = Path(__file__).parents[2]
HEADRACE = Path(sys.executable).with_name("headrace")


def run_demo(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and the object on standard output."""
    ended = subprocess.run(
        [str(HEADRACE), "demo", "--json", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.stdout, ended.stderr[-4_000:]
    return ended.returncode, json.loads(ended.stdout)


def events_of(result: dict[str, Any], kind: type[Any]) -> list[dict[str, Any]]:
    return [event["data"] for event in result["events"] if event["event"] == kind.ce_type]


@pytest.mark.timeout(900)
def test_the_demo_heals_its_model_while_it_is_asked() -> None:
    code, result = run_demo("--seed", "7")
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
