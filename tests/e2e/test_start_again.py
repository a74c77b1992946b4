"""The README's commands around a platform: clone and set-up, Apache Kafka, stop and start with empty state."""

from __future__ import annotations

import shlex
from pathlib import Path

import httpx
import pytest

from tests.e2e import reader
from tests.e2e.documented_commands import CLONE, HELP, ROOT, SETUP, UP_FRESH, UP_KAFKA
from tests.e2e.visits import SOURCE, accepted, apply, eventually, publish

CONSOLE, INGESTION = "http://127.0.0.1:8100", "http://127.0.0.1:8101"


def test_a_clone_has_everything_and_its_targets_say_what_they_do(tmp_path: Path) -> None:
    said = reader.run(f"{CLONE.replace('<this repository>', shlex.quote(str(ROOT)))} && {HELP}", tmp_path)
    assert {"make demo", "make demo-bad-candidate", "make up", "make test", "make proof"} <= {
        " ".join(line.split()[:2]) for line in said.splitlines()
    }
    assert (tmp_path / "headrace" / "README.md").exists()


def test_setup_puts_the_command_at_hand() -> None:
    said = reader.run(f"{SETUP} && command -v headrace", ROOT)
    assert said.splitlines()[-1] == str(ROOT / ".venv" / "bin" / "headrace")


@pytest.mark.timeout(300)
def test_apache_kafka_keeps_its_data_and_fresh_sets_them_aside(tmp_path: Path) -> None:
    folder = reader.checkout(tmp_path)
    with reader.running(UP_KAFKA, folder, folder / "first.log"):
        apply(CONSOLE)
        publish(INGESTION, ["1", "2"])
        eventually(lambda: accepted(CONSOLE) == 2, 30, "two records are accepted")
    with reader.running(UP_FRESH, folder, folder / "second.log"):
        assert SOURCE.name not in httpx.get(f"{CONSOLE}/v1/counts").json()["sources"]
    [aside] = (folder / ".headrace").glob("aside-*")
    assert str(aside) in (folder / "second.log").read_text()
    assert {path.name for path in aside.iterdir()} >= {"kafka", "state"}
