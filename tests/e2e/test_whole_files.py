"""Whole files replayed in lockstep: every record accounted for, the same figures each time and on both brokers.

Each file three times: once on the embedded broker, twice on Apache Kafka. After each run the invariants are checked on
all that it left.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.e2e.decided import Said, decisions, without_facts
from tests.e2e.evidence_of_run import gathered
from tests.e2e.staying_command import ROOT, staying
from tests.shared_data import shared_file

HEADRACE = Path(sys.executable).with_name("headrace")
FILES = {"electricity": "electricity.csv", "bike": "bike-hour.csv"}
# Of the bike file hours are missing: its definition holds labels back by a duration.
OPTIONS = {"electricity": ("--label-delay", "48"), "bike": ()}
RUNS = (("embedded", 1), ("kafka", 1), ("kafka", 2))
pytestmark = [pytest.mark.proof, pytest.mark.timeout(7_200)]


@dataclass(frozen=True)
class Run:
    """What `headrace replay --local --json` printed, what was decided, and what does not hold of its topics."""

    code: int
    result: dict[str, Any]
    decided: Said
    violations: list[str]

    @property
    def figures(self) -> dict[str, Any]:
        """All but what the machine's speed may change."""
        figures: dict[str, Any] = without_facts(self.result)
        return figures


@cache
def replayed(example: str, broker: str, time: int) -> Run:
    """The whole file. `time` tells repetitions apart."""
    definitions = ROOT / "examples" / example / "definitions.yaml"
    with TemporaryDirectory(prefix="whole-file-") as folder:
        data = Path(folder) / "data"
        command = (
            HEADRACE, "replay", "--local", "--broker", broker, "--json", "--stay", "--data", data, *OPTIONS[example],
            definitions, shared_file(FILES[example]),
        )  # fmt: skip
        with staying(command, Path(folder) / "stderr.log") as running:
            result = running.result()
            evidence = gathered(data)
            code = running.stop()
        return Run(code, result, decisions(evidence.history), evidence.violations())


@pytest.mark.parametrize("broker", ["embedded", "kafka"])
@pytest.mark.parametrize("example", FILES)
def test_every_record_is_accounted_for(example: str, broker: str) -> None:
    run = replayed(example, broker, 1)
    assert run.code == 0
    records = run.result["records"]
    assert records["published"] == records["accepted"] + records["rejected"]
    for model in run.result["models"].values():
        assert model["accepted"] == model["before_first_model"] + model["scored"]
        assert model["scored"] == model["joined"] + model["unlabelled"] + model["unmatured"]
        assert model["quality"] is not None


@pytest.mark.parametrize(("broker", "time"), RUNS)
@pytest.mark.parametrize("example", FILES)
def test_what_must_always_hold_holds(example: str, broker: str, time: int) -> None:
    assert replayed(example, broker, time).violations == []


@pytest.mark.parametrize("example", FILES)
def test_three_runs_on_two_brokers_give_the_same_figures_and_decisions(example: str) -> None:
    first, *others = (replayed(example, broker, time) for broker, time in RUNS)
    for other in others:
        for name, model in first.figures["models"].items():
            again = other.figures["models"][name]
            for what in ("retrainings", "promotions", "rollbacks", "alarms", "quality"):
                assert again[what] == model[what], f"{name}: {what}"
        assert other.figures == first.figures
        assert other.decided == first.decided


def test_on_electricity_evidence_alarms_retrains_and_promotes_in_its_own_way() -> None:
    models = replayed("electricity", "embedded", 1).result["models"]
    evidence, every, never = (models[f"price_up_{policy}"] for policy in ("evidence", "every", "never"))
    assert evidence["alarms"]
    assert min(evidence["retrainings"], evidence["promotions"]) >= 1
    assert min(every["retrainings"], every["promotions"]) >= 1
    assert (never["retrainings"], never["promotions"]) == (0, 0)
    assert evidence["quality"] != every["quality"]
    assert (evidence["retrainings"], evidence["promotions"]) != (every["retrainings"], every["promotions"])


def test_on_bike_hours_the_model_retrains_and_is_promoted() -> None:
    [model] = [m for m in replayed("bike", "embedded", 1).result["models"].values() if m["alarms"]]
    assert min(model["retrainings"], model["promotions"]) >= 1
