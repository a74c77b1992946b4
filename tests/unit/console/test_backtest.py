"""`headrace backtest drift`, from the command line through the console and the archive to what is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from services.console.cli import main
from services.console.cli.backtest_parameters import configurations
from shared.contracts.detectors import Detector
from tests import builders as b
from tests.unit.console.running import LOG_ID, RunningPlatform
from tests.unit.monitoring.recorded_model import RecordedModel, recorded_model

QUICK = ("--outcomes", "2000")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> RecordedModel:
    """One answer in ten is wrong, from outcome 400 on one in two."""

    def correct(n: int) -> bool:
        return n % 10 != 0 if n < 400 else n % 2 != 0

    return recorded_model(tmp_path_factory.mktemp("data"), 600, correct, 300, LOG_ID, reference_outcomes=100)


@pytest.fixture(scope="module")
def platform(recorded: RecordedModel) -> Iterator[RunningPlatform]:
    with RunningPlatform() as running:
        running.say(*recorded.events)
        running.until("/v1/control", lambda found: found["control"] > len(recorded.events))
        yield running


class Ran:
    """What a command line gave back."""

    def __init__(self, platform: RunningPlatform, recorded: RecordedModel, capfd: pytest.CaptureFixture[str]) -> None:
        self._options = ("--console", platform.console, "--data", str(recorded.data))
        self._capfd = capfd

    def __call__(self, *arguments: str, data: Path | None = None) -> tuple[int, str, str]:
        more = ("--data", str(data)) if data else ()
        code = main(["backtest", "drift", *arguments, *self._options, *more])
        said = self._capfd.readouterr()
        return code, said.out, said.err


@pytest.fixture
def ran(platform: RunningPlatform, recorded: RecordedModel, capfd: pytest.CaptureFixture[str]) -> Ran:
    return Ran(platform, recorded, capfd)


def test_alarms_that_were_raised_are_found_again_and_other_detectors_stand_beside(
    ran: Ran, recorded: RecordedModel
) -> None:
    chosen = ("--detector", "e_detector", "--detector", "page_hinkley", "--parameters", "threshold=10")
    code, out, err = ran(b.MODEL, *chosen, *QUICK, "--json")
    assert code == 0, err
    found = json.loads(out)
    ours, theirs = found["configurations"]
    assert (
        [a["position"] for a in ours["alarms"]]
        == [a.position for a in recorded.alarms]
        == [a["position"] for a in found["raised"]]
    )
    assert ours["in_force"]
    assert theirs["monitor"]["detector_parameters"] == {"threshold": 10}
    assert 400 < theirs["alarms"][0]["position"] < 500
    assert "600 decided outcomes of card_fraud, 600 with a loss" in err


def test_people_read_tables(ran: Ran, recorded: RecordedModel) -> None:
    code, out, err = ran(b.MODEL, "--detector", "adwin", *QUICK)
    assert code == 0, err
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "card_fraud: 600 losses (zero_one, bounded) of 600 decided outcomes" in lines
    assert f"{recorded.alarms[0].position} 1 {recorded.alarms[0].since} loss e_detector" in lines
    assert "adwin: 1 alarm, 600 of 600 losses watched" in lines
    assert any(line.startswith("false alarms: ") for line in lines)
    assert any(line.startswith("+0.20 ") for line in lines)


def test_an_unknown_model_is_named_with_those_that_there_are(ran: Ran) -> None:
    code, out, err = ran("card_frad")
    assert (code, out) == (1, "")
    assert "no model is called 'card_frad'; did you mean card_fraud?" in err


def test_without_an_outcome_the_command_says_so(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    code, out, err = ran(b.MODEL, "--from", "900", *QUICK)
    assert (code, out) == (1, "")
    assert "0 of the 600 recorded outcomes of card_fraud are asked for" in err


def test_a_folder_that_is_not_there_is_named(ran: Ran, tmp_path: Path) -> None:
    code, _, err = ran(b.MODEL, data=tmp_path / "nowhere")
    assert code == 1
    assert f"there is no folder {tmp_path / 'nowhere' / 'objects'}: name the folder of data with --data" in err


def test_a_parameter_that_no_detector_has_is_refused_before_anything_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = [
        "backtest",
        "drift",
        b.MODEL,
        "--detector",
        "adwin",
        "--parameters",
        "treshold=1",
        "--console",
        "http://127.0.0.1:9",
    ]
    assert main(asked) == 2
    assert "adwin has delta, clock" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_the_console_alone_says_what_is_missing(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_module(name: str) -> None:
        return None

    monkeypatch.setattr("services.console.cli.backtest_run.find_spec", no_such_module)
    code, _, err = ran(b.MODEL)
    assert code == 1
    assert "`headrace backtest` needs the whole project" in err


# --- options


@pytest.mark.parametrize(
    ("detectors", "parameters", "expected"),
    [
        (None, [], [{"tolerance": 0.1}]),
        ([Detector.KSWIN], [], [{"tolerance": 0.1, "detector": "kswin"}]),
        (
            [Detector.ADWIN, Detector.PAGE_HINKLEY],
            ["delta=0.01", "page_hinkley.threshold=5"],
            [
                {"tolerance": 0.1, "detector": "adwin", "detector_parameters": {"delta": 0.01}},
                {"tolerance": 0.1, "detector": "page_hinkley", "detector_parameters": {"delta": 0.01, "threshold": 5}},
            ],
        ),
    ],
)
def test_a_parameter_goes_to_every_detector_that_has_it(
    detectors: list[Detector] | None, parameters: list[str], expected: list[dict[str, Any]]
) -> None:
    assert configurations(detectors, parameters, {"tolerance": 0.1}) == expected


@pytest.mark.parametrize(
    ("detectors", "parameters", "said"),
    [
        (None, ["delta=1"], "say of which --detector"),
        ([Detector.ADWIN], ["delta"], "expected NAME=NUMBER; adwin has delta"),
        ([Detector.ADWIN], ["kswin.alpha=1"], "expected NAME=NUMBER"),
        ([Detector.ADWIN], ["delta=x"], "'x' is no number"),
        ([Detector.ADWIN], ["delta=5"], "it lies from 1e-12 to 1"),
        ([Detector.E_DETECTOR], ["delta=5"], "e_detector has none"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(
    detectors: list[Detector] | None, parameters: list[str], said: str
) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        configurations(detectors, parameters, {})
    assert said in refused.value.message
