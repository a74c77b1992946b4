"""What a replay says while it runs: on a terminal a bar, elsewhere a line now and then."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from rich.console import Console

from deploy.local import replay_progress
from deploy.local.definitions_in_force import put_in_force
from deploy.local.replay_progress import ReplayProgress, happening
from shared.contracts import control as c
from tests import builders as b
from tests.unit.console.running import RunningPlatform

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks and says without waiting for the seconds that a replay takes."""
    monkeypatch.setattr(replay_progress, "_ASK_EVERY_S", 0.01)
    monkeypatch.setattr(replay_progress, "_LINE_EVERY_S", 0.0)


@pytest.fixture
def platform() -> Iterator[RunningPlatform]:
    with RunningPlatform() as running:
        put_in_force(running.console, b.declared(), by="test")
        running.until("/v1/status", lambda found: b.MODEL in found["models"])
        yield running


def shows(progress: ReplayProgress, file: io.StringIO, wanted: str, act: Callable[[], None]) -> None:
    """Until the text is on the screen; what is asked of the console comes when it comes."""
    until_s = time.monotonic() + 10
    with progress:
        while wanted not in file.getvalue():
            assert time.monotonic() < until_s, file.getvalue()[-2_000:]
            act()
            time.sleep(0.02)


def test_on_a_terminal_a_bar_with_rate_lag_and_what_is_happening(platform: RunningPlatform) -> None:
    file = io.StringIO()
    progress = ReplayProgress(platform.console, 2_000, Console(file=file, width=240, force_terminal=True))
    shows(progress, file, f"{b.MODEL}: no version yet, 0 of 2000 labelled rows", lambda: progress.published(1_000))
    said = file.getvalue()
    assert "1000/2000" in said
    assert "/s" in said
    assert "lag " in said


def test_elsewhere_lines_with_what_it_waits_for(platform: RunningPlatform) -> None:
    file = io.StringIO()
    progress = ReplayProgress(platform.console, 2_000, Console(file=file, width=40))

    def act() -> None:
        progress.published(1_000)
        progress.waiting_for({"training": "fits r1", "serving": "loads version 1"})

    shows(progress, file, "rows; waiting for training: fits r1", act)
    [*_, line] = [line for line in file.getvalue().splitlines() if "lag" in line]
    assert line.startswith("replay 1,000 of 2,000 (")
    assert "/s); lag " in line


def test_a_console_that_does_not_answer_is_said() -> None:
    file = io.StringIO()
    progress = ReplayProgress(NOBODY, 10, Console(file=file, width=40))
    shows(progress, file, NOBODY, lambda: progress.published(1))


def test_lines_come_only_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_progress, "_LINE_EVERY_S", 3_600.0)
    file = io.StringIO()
    with ReplayProgress(NOBODY, 10, Console(file=file, width=40)) as progress:
        progress.published(5)
        progress.waiting_for({"training": "fits r1"})
    assert file.getvalue() == ""


def test_what_is_happening_to_a_model_follows_its_course(platform: RunningPlatform) -> None:
    def now(holds: Callable[[Any], bool]) -> str:
        return happening(platform.until("/v1/status", lambda found: holds(found["models"][b.MODEL])))

    platform.say(b.run_requested(), b.run_progressed())
    assert f"{b.MODEL}: run: search 50%" in now(lambda model: model["run"] is not None and model["run"]["doing"])
    platform.say(b.run_finished())
    platform.until("/v1/status", lambda found: found["models"][b.MODEL]["versions"])
    platform.say(b.replica_ready())
    assert now(lambda model: model["champion"] == 1).endswith(f"{b.MODEL}: v1")
    platform.say(b.rollout_started(), b.rollout_advanced(phase=c.Phase.STEP, step=1, share=0.25))
    assert f"{b.MODEL}: v2 in step at 25%" in now(lambda model: model["rollout"] and model["rollout"]["share"])


def test_lag_is_that_of_all_services_and_quality_comes_first(platform: RunningPlatform) -> None:
    found = httpx.get(f"{platform.console}/v1/status", trust_env=False).json()
    model = found["models"][b.MODEL]
    model |= {"run": None, "rollout": None, "champion": 3, "counts": {**model["counts"], "quality": 0.8125}}
    found["services"] = {"features": {"lag": 40}, "serving": {"lag": 2}, "training": {"state": "away"}}
    metric = model["counts"]["metric"]
    assert happening(found) == f"lag 42 | {b.MODEL}: {metric} 0.812, v3"
