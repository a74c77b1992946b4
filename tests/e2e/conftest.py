"""One demo for all who look at it: run for real, and scraped by a real Prometheus meanwhile."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.runtime.settings import DEFAULT_PORTS
from tests.e2e.prometheus import Prometheus

ROOT = Path(__file__).parents[2]
PORT_BASE = 19_100


@dataclass(frozen=True, slots=True)
class WatchedDemo:
    """What the demo printed, how it ended, and what was scraped while it ran."""

    code: int
    result: dict[str, Any]
    prometheus: Prometheus
    from_s: float
    to_s: float


@pytest.fixture(scope="session")
def watched_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedDemo]:
    """`make demo`, of which every figure is wanted, on ports of its own."""
    targets = {name: PORT_BASE + number for number, name in enumerate(DEFAULT_PORTS)}
    with Prometheus(tmp_path_factory.mktemp("prometheus"), targets) as prometheus:
        from_s = time.time()
        ended = subprocess.run(
            ["make", "demo", f"ARGS=--json --seed 7 --port-base {PORT_BASE}"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.stdout, ended.stderr[-4_000:]
        yield WatchedDemo(ended.returncode, json.loads(ended.stdout), prometheus, from_s, time.time())
