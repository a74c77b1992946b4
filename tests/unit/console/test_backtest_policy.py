"""`headrace backtest policy`, from the command line through the console and the archive to what is printed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.console.cli import main
from services.monitoring.judge import ARCHIVE
from shared.contracts.control import SegmentWritten
from tests import builders as b
from tests.unit.console.running import RunningPlatform
from tests.unit.deploy.known_streams import stream
from tests.unit.deploy.recorded_stream import recorded_stream

NOWHERE = ("--console", "http://127.0.0.1:9")


class Ran:
    """What a command line gave back."""

    def __init__(self, platform: RunningPlatform, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self._options, self._capfd = ("--console", platform.console, "--data", str(data)), capfd

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        code = main(["backtest", "policy", b.MODEL, *arguments, *self._options])
        said = self._capfd.readouterr()
        return code, said.out, said.err


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def platform(data: Path) -> Iterator[RunningPlatform]:
    """Its model has recorded 900 outcomes, whose concept changes at the 500th."""
    events = recorded_stream(data, stream(900, changes_at=500), segment=300).events
    with RunningPlatform() as running:
        running.say(*events)
        running.until("/v1/control", lambda found: found["control"] > len(events))
        yield running


@pytest.fixture
def ran(platform: RunningPlatform, data: Path, capfd: pytest.CaptureFixture[str]) -> Ran:
    return Ran(platform, data, capfd)


def test_evidence_stands_beside_static_and_periodic(ran: Ran) -> None:
    code, out, err = ran("--retrain", "evidence,cost=8", "--rollout", "none", "--every", "250", "--json")
    assert code == 0, err
    found = json.loads(out)
    evidence, static, timer = found["configurations"]
    assert (evidence["name"], static["name"], timer["name"]) == (
        "evidence,cost=8; rollout none", "static", "every 250 rows",
    )  # fmt: skip
    assert (evidence["retrain"]["cost"], evidence["retrain"]["horizon"], evidence["rollout"]) == (8.0, 2_000, None)
    assert evidence["less_static"]["high"] < 0.0
    assert timer["retrainings"] == 2
    assert "evidence,cost=8; rollout none: 900 outcomes" in err


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
    assert "rollout none: fitting on " in err


def test_too_few_rows_are_counted(ran: Ran) -> None:
    code, out, err = ran("--to", "120")
    assert (code, out) == (1, "")
    said = " ".join(err.split())
    assert "a first version of card_fraud is fitted on 300 outcomes with a label" in said
    assert "of the 120 that are asked for 120 have one" in said


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


def test_a_segment_that_the_console_tells_of_a_little_later_is_waited_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Monitoring has let go of the outcomes that stand in it."""
    events = recorded_stream(tmp_path, stream(900, changes_at=None), segment=300).events
    [late] = [event for event in events if isinstance(event, SegmentWritten)]
    [file] = (tmp_path / "state" / "monitoring" / "0").glob("*.sqlite")
    with closing(sqlite3.connect(file)) as connection, connection:
        assert connection.execute("DELETE FROM buffers WHERE name = ? AND ordinal < 300", (ARCHIVE,)).rowcount == 300
    pauses: list[float] = []
    with RunningPlatform() as running:
        running.say(*(event for event in events if event is not late))
        running.until("/v1/control", lambda found: found["control"] >= len(events))

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            running.say(late)
            running.until("/v1/control", lambda found: found["control"] > len(events))

        monkeypatch.setattr("services.console.cli.backtest_run.time", SimpleNamespace(sleep=pause))
        code, out, err = Ran(running, tmp_path, capfd)("--alone", "--retrain", "never", "--json")
    assert code == 0, err
    assert pauses == [1.0]
    assert json.loads(out)["outcomes"] == 900
