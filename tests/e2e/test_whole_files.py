"""Whole files replayed in lockstep: every record accounted for, the same figures each time and on both brokers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
HEADRACE = Path(sys.executable).with_name("headrace")
FILES = {"electricity": "electricity.csv", "bike": "bike-hour.csv"}
pytestmark = [
    pytest.mark.proof,
    pytest.mark.timeout(7_200),
    pytest.mark.skipif(
        not DATA.exists() and os.environ.get("CI") != "true", reason="the real files lie in ../shared/data"
    ),
]


@cache
def replayed(example: str, broker: str, limit: int | None = None, time: int = 0) -> dict[str, Any]:
    """The object that `headrace replay --local --json` prints. `time` tells repetitions apart."""
    definitions = ROOT / "examples" / example / "definitions.yaml"
    limits = [] if limit is None else ["--limit", str(limit)]
    ended = subprocess.run(
        [HEADRACE, "replay", "--local", "--broker", broker, "--json", *limits, definitions, DATA / FILES[example]],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-4_000:]
    return json.loads(ended.stdout)


def figures(result: dict[str, Any]) -> dict[str, Any]:
    """All but what the machine's speed may change."""
    return {name: value for name, value in result.items() if name != "seconds"}


@pytest.mark.parametrize("broker", ["embedded", "kafka"])
@pytest.mark.parametrize("example", FILES)
def test_every_record_is_accounted_for(example: str, broker: str) -> None:
    result = replayed(example, broker)
    records = result["records"]
    assert records["published"] == records["accepted"] + records["rejected"]
    for model in result["models"].values():
        assert model["accepted"] == model["before_first_model"] + model["scored"]
        assert model["scored"] == model["joined"] + model["unlabelled"] + model["unmatured"]
        assert model["quality"] is not None


@pytest.mark.parametrize("example", FILES)
def test_both_brokers_give_the_same_figures(example: str) -> None:
    assert figures(replayed(example, "embedded")) == figures(replayed(example, "kafka"))


@pytest.mark.parametrize("example", FILES)
def test_three_runs_give_the_same_figures(example: str) -> None:
    first, second, third = (figures(replayed(example, "embedded", 6_000, time)) for time in range(3))
    assert first == second == third


def test_on_electricity_evidence_alarms_retrains_and_promotes_in_its_own_way() -> None:
    models = replayed("electricity", "embedded")["models"]
    evidence, every, never = (models[f"price_up_{policy}"] for policy in ("evidence", "every", "never"))
    assert evidence["alarms"]
    assert min(evidence["retrainings"], evidence["promotions"]) >= 1
    assert every["retrainings"] >= 1
    assert (never["retrainings"], never["promotions"]) == (0, 0)
    assert evidence["quality"] != every["quality"]


def test_on_bike_hours_the_model_retrains_and_is_promoted() -> None:
    [model] = [m for m in replayed("bike", "embedded")["models"].values() if m["alarms"]]
    assert min(model["retrainings"], model["promotions"]) >= 1
