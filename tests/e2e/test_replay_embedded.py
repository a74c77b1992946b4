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
from deploy.local.progress_client import ProgressClient
from deploy.local.replay import run_replay

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT.parent / "shared" / "data" / "electricity.csv"
ROWS, MINIMUM_ROWS = 576, 240


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


class Killer(threading.Thread):
    """Kills each victim in turn, at a moment when it has work in hand."""

    def __init__(self, platform: LocalPlatform, victims: tuple[str, ...]) -> None:
        super().__init__(name="killer", daemon=True)
        self._platform, self._victims = platform, victims
        self._stop_asked = threading.Event()
        self.killed: list[str] = []

    def run(self) -> None:
        with ProgressClient(self._platform.urls) as client:
            for victim in self._victims:
                self._stop_asked.wait(4.0)
                while not self._stop_asked.wait(0.002):
                    progress = client.ask([victim])[victim]
                    if progress is not None and progress.pending:
                        os.kill(self._platform.process_ids[victim], signal.SIGKILL)
                        self.killed.append(victim)
                        break

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


@pytest.mark.timeout(300)
def test_every_record_is_accounted_for_though_services_are_killed(
    definitions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    with LocalPlatform(data, any_ports=True) as platform:
        killer = Killer(platform, ("features", "monitoring"))
        killer.start()
        options = ReplayOptions(definitions, FILE, limit=ROWS, json=True, data=data, console=platform.console)
        status = run_replay(options)
        killer.stop()
    assert status == 0
    assert killer.killed == ["features", "monitoring"]
    _accounted_for(orjson.loads(capsys.readouterr().out))
