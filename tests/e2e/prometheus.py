"""A real Prometheus beside a test: started, asked, stopped."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx

from deploy.ports import free_ports
from deploy.spawn import end, spawn

Series = list[tuple[float, float]]  # (seconds since the epoch, value)
MISSING = "Prometheus is missing: run `make prometheus`"


class Prometheus:
    """Scrapes the ports of this machine twice a second. A context manager."""

    def __init__(self, folder: Path, targets: Mapping[str, int]) -> None:
        program = shutil.which("prometheus")
        assert program, MISSING
        self._program, self._folder = program, folder
        [self._port] = free_ports(1)
        jobs = [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for name, port in targets.items()
        ]
        config = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self._running: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Prometheus:
        self._running = spawn(
            [
                self._program, f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{self._port}",
            ]
        )  # fmt: skip
        until = time.monotonic() + 60
        while not self._ready():
            assert self._running.poll() is None, "Prometheus ended by itself"
            assert time.monotonic() < until, "Prometheus did not become ready"
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._running is not None:
            end([self._running], grace_s=10)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def range(self, query: str, from_s: float, to_s: float) -> list[Series]:
        """Times and values of each series, oldest first, one a scrape."""
        answer = httpx.get(
            f"http://127.0.0.1:{self._port}/api/v1/query_range",
            params={"query": query, "start": from_s, "end": to_s, "step": 0.5},
        ).json()
        assert answer["status"] == "success", answer
        return [[(float(at_s), float(value)) for at_s, value in series["values"]] for series in _series(answer)]


def _series(answer: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return answer["data"]["result"]
