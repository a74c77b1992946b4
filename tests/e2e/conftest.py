"""One demo for all who look at it: run for real, and scraped by a real Prometheus meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.runtime.settings import DEFAULT_PORTS
from tests.e2e.evidence_of_run import EvidenceOfRun, gathered
from tests.e2e.prometheus import Prometheus
from tests.e2e.staying_command import staying

ROOT = Path(__file__).parents[2]
PORT_BASE = 19_100


@dataclass(frozen=True, slots=True)
class WatchedDemo:
    """What the demo printed, how it ended, what was scraped while it ran, and what it left in topics and files."""

    code: int
    result: dict[str, Any]
    prometheus: Prometheus
    from_s: float
    to_s: float
    evidence: EvidenceOfRun


@pytest.fixture(scope="session")
def watched_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedDemo]:
    """`make demo`, of which every figure is wanted, on ports of its own. It stays until its topics have been read."""
    targets = {name: PORT_BASE + number for number, name in enumerate(DEFAULT_PORTS)}
    folder = tmp_path_factory.mktemp("demo")
    with Prometheus(tmp_path_factory.mktemp("prometheus"), targets) as prometheus:
        from_s = time.time()
        asked = ["make", "demo", f"ARGS=--json --seed 7 --port-base {PORT_BASE} --stay --data {folder / 'data'}"]
        with staying(asked, folder / "stderr.log") as command:
            result, to_s = command.result(), time.time()
            evidence = gathered(folder / "data")
            code = command.stop()
        yield WatchedDemo(code, result, prometheus, from_s, to_s, evidence)
