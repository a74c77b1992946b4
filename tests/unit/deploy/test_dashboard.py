"""The dashboard and the compose file as they are committed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from deploy.grafana.generate import TARGET, the_loop
from deploy.grafana.panels import PANELS
from deploy.kafka.artifacts import KAFKA_VERSION
from shared.contracts import control, flow

ROOT = Path(__file__).parents[3]


def test_the_committed_dashboard_is_what_the_code_makes() -> None:
    assert TARGET.read_text() == the_loop(), "run `make docs` and commit the dashboard"


def test_every_panel_is_moved_by_an_event_of_the_contracts() -> None:
    for panel in PANELS:
        assert hasattr(control, panel.moved_by) or hasattr(flow, panel.moved_by), panel.title


def test_panels_do_not_overlap() -> None:
    taken = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in json.loads(the_loop())["panels"]]
    assert len(set(taken)) == len(taken) == len(PANELS)


def test_compose_accepts_the_file() -> None:
    compose = Path(sys.executable).parent / "docker-compose"
    for token, accepted in (("secret", True), ("", False)):
        environment = {**os.environ, "HEADRACE_TOKEN": token}
        ran = subprocess.run(
            [compose, "config", "--quiet"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert (ran.returncode == 0) == accepted, ran.stderr


def test_compose_runs_the_apache_kafka_that_the_tests_run() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
