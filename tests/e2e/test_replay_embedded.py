"""A short replay of the electricity file over the embedded broker: every record accounted for, whoever is killed."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.local.options import ReplayOptions
from deploy.local.platform import LocalPlatform
from deploy.local.replay import run_replay

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT.parent / "shared" / "data" / "electricity.csv"
ROWS, MINIMUM_ROWS = 720, 240


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """The example's, with a first model early enough for a short run."""
    text = (ROOT / "examples" / "electricity" / "definitions.yaml").read_text()
    assert "minimum_rows: 2000" in text
    assert "{policy: every, rows: 2000}" in text
    file = tmp_path / "definitions.yaml"
    text = text.replace("minimum_rows: 2000", f"minimum_rows: {MINIMUM_ROWS}")
    file.write_text(text.replace("{policy: every, rows: 2000}", "{policy: every, rows: 200}"))
    return file


def _accounted_for(found: dict[str, Any]) -> None:
    assert found["records"] == {"published": ROWS, "accepted": ROWS, "rejected": 0, "late": 0}
    assert set(found["models"]) == {"price_up_never", "price_up_every", "price_up_evidence"}
    for model in found["models"].values():
        assert model["accepted"] == ROWS == model["before_first_model"] + model["scored"]
        assert model["scored"] == model["joined"] > 0
        assert model["unlabelled"] == model["unmatured"] == 0
        assert model["before_first_model"] > MINIMUM_ROWS
        assert model["metric"] == "accuracy"
        assert 0.4 < model["quality"] < 1.0
        assert len(model["quality_by_tenth"]) == 10
    never, every = found["models"]["price_up_never"], found["models"]["price_up_every"]
    assert (never["retrainings"], never["promotions"]) == (0, 0)
    assert every["retrainings"] == every["promotions"] > 0


@pytest.mark.timeout(240)
def test_every_record_is_accounted_for_though_a_service_is_killed(
    definitions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    killed: list[str] = []
    with LocalPlatform(data, any_ports=True) as platform:
        assert not (data / "running.json").read_text().count("9092,")
        victims = iter(("serving", "monitoring"))

        def kill_one() -> None:
            victim = next(victims, None)
            if victim is not None:
                os.kill(platform.process_ids[victim], signal.SIGKILL)
                killed.append(victim)

        timers = [threading.Timer(delay_s, kill_one) for delay_s in (6.0, 14.0)]
        for timer in timers:
            timer.start()
        options = ReplayOptions(definitions, FILE, limit=ROWS, json=True, data=data, console=platform.console)
        status = run_replay(options)
        for timer in timers:
            timer.cancel()
    assert status == 0
    assert killed
    _accounted_for(orjson.loads(capsys.readouterr().out))
