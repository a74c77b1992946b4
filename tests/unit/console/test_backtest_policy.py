"""`headrace backtest policy`, from the command line through the console and the archive to what is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.console.cli import main
from tests import builders as b
from tests.unit.console.recorded_stream import recorded
from tests.unit.console.running import RunningPlatform
from tests.unit.deploy.known_streams import stream

NOWHERE = ("--console", "http://127.0.0.1:9")


class Ran:
    """What a command line gave back."""

    def __init__(self, platform: RunningPlatform, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self._options, self._capfd = ("--console", platform.console, "--data", str(data)), capfd

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = main(["backtest", "policy", b.MODEL, *arguments, *self._options])
        said = self._capfd.readouterr()
        return code, said.out, said.err

    def found(self, *arguments: str) -> Any:
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def platform(data: Path) -> Iterator[RunningPlatform]:
    """Its model has recorded 900 outcomes, whose concept changes at the 500th."""
    events = recorded(data, stream(900, changes_at=500), segment=300)
    with RunningPlatform() as running:
        running.say(*events)
        running.until("/v1/control", lambda found: found["control"] > len(events))
        yield running


@pytest.fixture
def ran(platform: RunningPlatform, data: Path, capfd: pytest.CaptureFixture[str]) -> Ran:
    return Ran(platform, data, capfd)


def test_evidence_retrains_after_the_change_and_is_better_than_static(ran: Ran) -> None:
    found = ran.found("--rollout", "none")
    evidence, static, timer = found["configurations"]
    assert [one["kind"] for one in found["configurations"]] == ["proposed", "static", "periodic"]
    assert (found["outcomes"], found["labelled"]) == (900, 900)
    assert 400 < found["compared"] < 600
    assert evidence["retrainings"] >= 1
    assert evidence["paying_alarms"] >= 1
    assert evidence["less_static"]["mean"] < evidence["less_static"]["high"] < 0.0
    assert evidence["quality"]["accuracy"] > static["quality"]["accuracy"] + 0.1
    first, *_ = evidence["runs"]
    assert 500 < first["position"] < 700
    assert (first["asked"], first["monitor"], first["outcome"]) == ("drift", "saving", "promoted")
    assert first["gate"]["candidate_loss"] < first["gate"]["reference_loss"]
    assert static["less_static"] is None
    assert (static["retrainings"], static["runs"]) == (0, [])
    assert timer["retrain"]["policy"] == "every"
    assert timer["retrainings"] in {evidence["retrainings"] - 1, evidence["retrainings"]}
    assert all(one["cpu_s"] > 0.0 for one in found["configurations"])


def test_never_is_what_static_is(ran: Ran) -> None:
    found = ran.found("--retrain", "never", "--every", "250")
    never, static, timer = found["configurations"]
    assert never["less_static"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert (never["loss"], never["quality"]) == (static["loss"], static["quality"])
    assert timer["retrainings"] == 2


def test_without_a_retraining_no_timer_stands_beside_and_it_says_so(ran: Ran) -> None:
    code, _, err = ran("--retrain", "never", "--to", "450")
    assert code == 0
    assert "warning: the first configuration retrains never: say with --every" in err


def test_each_retrain_is_played_with_each_rollout_and_the_same_gives_the_same(ran: Ran) -> None:
    asked = ("--retrain", "evidence,cost=5", "--retrain", "every,rows=300", "--rollout", "none")
    asked = (*asked, "--rollout", "shadow=false,steps=50/100", "--alone")
    one, other = ran.found(*asked), ran.found(*asked)
    assert [configuration["name"] for configuration in one["configurations"]] == [
        "evidence,cost=5; rollout none", "evidence,cost=5; rollout shadow=false,steps=50/100",
        "every,rows=300; rollout none", "every,rows=300; rollout shadow=false,steps=50/100",
    ]  # fmt: skip
    first, second, *_ = one["configurations"]
    assert (first["retrain"]["cost"], first["retrain"]["horizon"], first["rollout"]) == (5.0, 2_000, None)
    assert (second["rollout"]["shadow"], second["rollout"]["steps"], second["rollout"]["alpha"]) == (
        False, [50, 100], 0.05,
    )  # fmt: skip
    for configuration in (*one["configurations"], *other["configurations"]):
        del configuration["cpu_s"]
    assert one == other


def test_people_read_tables(ran: Ran) -> None:
    code, out, err = ran("--rollout", "none")
    assert code == 0, err
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert any(
        line.startswith("card_fraud: 900 decided outcomes, 900 with a label; compared on the ") for line in lines
    )
    assert any(line.startswith("static 0.") and line.endswith("- -") for line in lines)
    assert "retrainings of rollout none" in lines
    assert any("drift: saving 2 " in line and line.endswith("promoted") for line in lines)
    assert "rollout none: fitted on outcomes before " in err


def test_too_few_rows_are_counted(ran: Ran) -> None:
    code, out, err = ran("--to", "120")
    assert (code, out) == (1, "")
    said = " ".join(err.split())
    assert "a first version of card_fraud is fitted on 300 outcomes with a label" in said
    assert "of the 120 that are asked for 120 have one" in said


def test_no_outcome_that_is_asked_for_is_said(ran: Ran) -> None:
    code, _, err = ran("--from", "900")
    assert code == 1
    assert "none of the 900 recorded outcomes of card_fraud is asked for" in " ".join(err.split())


def test_a_policy_that_lacks_its_rows_is_refused_by_the_definition_in_force(ran: Ran) -> None:
    code, _, err = ran("--retrain", "every")
    assert code == 1
    assert "retrain policy `every` needs `rows`" in err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--retrain", "sometimes"), "expected evidence, every, never first"),
        (("--retrain", "evidence,cots=3"), "cots: not a field here; did you mean cost?"),
        (("--retrain", "evidence,cost=-3"), "cost: found -3, expected a number at least 0"),
        (("--retrain", "evidence,cooldown=soon"), "cooldown: expected a duration such as"),
        (("--retrain", "every,rows=20"), "rows: found 20, expected a whole number at least 50"),
        (("--retrain", "evidence,cost"), "'cost' has no value"),
        (("--retrain", "evidence,cost=1,cost=2"), "'cost' stands there twice"),
        (("--rollout", "steps=50/25/100"), "steps must rise and end with 100"),
        (("--rollout", "alpha=0.7"), "alpha: found 0.7, expected a number above 0 and below 0.5"),
        (("--rollout", "none,alpha=0.1"), "'none' has no value"),
    ],
)
def test_a_bad_setting_is_refused_in_words_before_anything_is_asked(
    asked: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", "policy", b.MODEL, *asked, *NOWHERE]) == 2
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())
