"""The backtest of policies: what configurations make of a stream whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deploy.backtest.findings import findings
from deploy.backtest.request import Request
from services.monitoring.backtest.request import NothingToReplay
from tests.unit.deploy.known_streams import stream
from tests.unit.deploy.recorded_stream import RecordedStream, recorded_stream

NO_ROLLOUT = [{"name": "none", "says": None}]
NEVER = {"policy": "never"}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> RecordedStream:
    """900 outcomes, whose concept changes at the 500th; the first 300 stand in a segment."""
    return recorded_stream(tmp_path_factory.mktemp("changed"), stream(900, changes_at=500), segment=300)


def found(request: Request, said: list[str] | None = None) -> dict[str, Any]:
    return json.loads(json.dumps(findings(request, (lambda text: None) if said is None else said.append)))


def test_evidence_retrains_after_the_change_and_is_better_than_static(changed: RecordedStream) -> None:
    everything = found(changed.request(rollouts=NO_ROLLOUT))
    evidence, static, timer = everything["configurations"]
    assert [one["kind"] for one in everything["configurations"]] == ["proposed", "static", "periodic"]
    assert (everything["outcomes"], everything["labelled"]) == (900, 900)
    assert 400 < everything["compared"] < 600
    assert evidence["less_static"]["mean"] < evidence["less_static"]["high"] < 0.0
    assert evidence["quality"]["accuracy"] > static["quality"]["accuracy"] + 0.1
    assert evidence["retrainings"] == evidence["promoted"] == len(evidence["runs"])
    first, *_ = evidence["runs"]
    assert 500 < first["position"] < 700
    assert (first["asked"], first["monitor"], first["outcome"]) == ("drift", "saving", "promoted")
    assert first["gate"]["candidate_loss"] < first["gate"]["reference_loss"]
    assert evidence["paying_alarms"] >= 1
    assert (static["less_static"], static["runs"], static["paying_alarms"]) == (None, [], None)
    assert timer["retrain"]["policy"] == "every"
    assert evidence["retrainings"] - 1 <= timer["retrainings"] <= evidence["retrainings"]
    assert all(one["cpu_s"] > 0.0 for one in everything["configurations"])


def test_never_is_what_static_is_and_no_timer_stands_beside_it(changed: RecordedStream) -> None:
    said: list[str] = []
    everything = found(changed.request(NEVER), said)
    never, static = everything["configurations"]
    assert never["less_static"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert (never["loss"], never["quality"], never["cpu_s"]) == (static["loss"], static["quality"], static["cpu_s"])
    assert everything["warnings"] == [
        "the first configuration never retrained, so no timer that retrains as often stands beside it: "
        "name one with --every"
    ]
    assert sum("fitting on" in text for text in said) == 1  # the first version is the same in both


def test_where_a_timer_was_asked_for_none_is_missed(changed: RecordedStream) -> None:
    everything = found(changed.request(NEVER, {"policy": "every", "rows": 300}))
    assert [one["retrain"]["policy"] for one in everything["configurations"]] == ["never", "every", "never"]
    assert everything["warnings"] == []


def test_each_retrain_is_played_with_each_rollout_and_the_same_gives_the_same(changed: RecordedStream) -> None:
    rollouts = [*NO_ROLLOUT, {"name": "steps=50/100", "says": {"shadow": False, "steps": [50, 100]}}]
    asked = changed.request({"cost": 5}, {"policy": "every", "rows": 300}, rollouts=rollouts, alone=True)
    one, other = found(asked), found(changed.request({"cost": 5}, rollouts=NO_ROLLOUT, alone=True))
    first, second, third, _ = one["configurations"]
    assert second["name"] == "{'cost': 5}; rollout steps=50/100"
    assert (first["retrain"]["cost"], first["retrain"]["horizon"], first["rollout"]) == (5.0, 2_000, None)
    assert (second["rollout"]["shadow"], second["rollout"]["alpha"]) == (False, 0.05)
    assert (third["runs"][0]["asked"], third["promoted"]) == ("rows", third["retrainings"])
    [again] = other["configurations"]
    del first["cpu_s"], again["cpu_s"]
    assert again == first


def test_a_candidate_that_is_no_better_is_not_promoted(tmp_path: Path) -> None:
    unchanged = recorded_stream(tmp_path, stream(700, changes_at=None), segment=0)
    [evidence] = found(unchanged.request({"cost": 0.5}, alone=True))["configurations"]
    assert evidence["retrainings"] == sum(evidence[name] for name in ("refused", "rejected", "promoted", "others"))
    for run in evidence["runs"]:
        assert run["reason"] or run["outcome"] in ("promoted", "unfinished")


def test_what_waits_for_a_person_is_approved_and_that_is_said(tmp_path: Path) -> None:
    rollout = {"shadow": False, "steps": [100], "alpha": 0.05, "approval": "manual"}
    asks = recorded_stream(tmp_path, stream(900, changes_at=500), segment=0, rollout=rollout)
    everything = found(asks.request(alone=True))
    assert everything["warnings"] == ["what waits for a person's approval is taken as approved at once"]
    [evidence] = everything["configurations"]
    assert "withdrawn" not in {run["outcome"] for run in evidence["runs"]}
    assert evidence["retrainings"] >= 1


def test_only_the_outcomes_asked_for_are_played(changed: RecordedStream) -> None:
    part = found(changed.request(first=100, last=750, rollouts=NO_ROLLOUT, alone=True))
    [evidence] = part["configurations"]
    assert part["outcomes"] == 650
    first, *_ = evidence["runs"]
    assert 500 < first["position"] == first["fitted"][1] < 700  # as they were recorded


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"first": 900}, "none of the 900 recorded outcomes of card_fraud is asked for"),
        ({"last": 120}, "fitted on 300 outcomes with a label (training.minimum_rows), and of the 120 that are asked"),
        ({"last": 305}, "no version of card_fraud answers before the records end"),
    ],
)
def test_what_is_missing_is_named(changed: RecordedStream, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(NothingToReplay) as refused:
        found(changed.request(NEVER, alone=True, **asked))
    assert said in str(refused.value)


def test_inputs_that_were_not_recorded_are_named(tmp_path: Path) -> None:
    inputs = {"fields": ["amount", "category"], "views": ["card_activity"]}
    lacking = recorded_stream(tmp_path, stream(320, changes_at=None), segment=0, inputs=inputs)
    with pytest.raises(NothingToReplay) as refused:
        found(lacking.request())
    assert "320 of 320 outcomes of card_fraud were recorded without inputs" in str(refused.value)
    assert "card_activity.spend_mean_1h" in str(refused.value)
    assert "--from 320" in str(refused.value)


def test_without_an_outcome_the_backtest_says_so(tmp_path: Path) -> None:
    nothing = recorded_stream(tmp_path, stream(1, changes_at=None), segment=0)
    with pytest.raises(NothingToReplay) as refused:
        found(nothing.request().model_copy(update={"data": str(tmp_path / "elsewhere")}))
    assert "card_fraud has no decided outcome" in str(refused.value)


def test_a_setting_that_no_definition_may_have_is_refused(changed: RecordedStream) -> None:
    with pytest.raises(ValidationError):
        found(changed.request({"policy": "every"}))
