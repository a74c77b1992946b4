"""The compose file's Prometheus: promtool accepts its configuration, and it scrapes every service where it listens."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

from shared.runtime.settings import DEFAULT_PORTS
from tests.e2e.prometheus import MISSING

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yml"


def promtool(config: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    assert program, MISSING
    return subprocess.run([program, "check", "config", str(config)], capture_output=True, text=True, check=False)


def test_promtool_accepts_the_shipped_configuration(tmp_path: Path) -> None:
    found = promtool(CONFIG)
    assert found.returncode == 0, found.stdout + found.stderr
    spoilt = tmp_path / "prometheus.yml"
    spoilt.write_text(CONFIG.read_text().replace("scrape_interval: 5s", "scrape_interval: often"))
    assert promtool(spoilt).returncode != 0


def test_it_scrapes_every_service_of_the_compose_file_at_its_port() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = compose["services"]
    [mounted] = [volume for volume in services["prometheus"]["volumes"] if volume.endswith("prometheus.yml:ro")]
    assert (ROOT / mounted.partition(":")[0]).resolve() == CONFIG
    built = {name: service for name, service in services.items() if "build" in service}
    assert built.keys() == DEFAULT_PORTS.keys()
    published = {name: {int(port.rpartition(":")[2]) for port in service["ports"]} for name, service in built.items()}
    assert published == {name: {port} for name, port in DEFAULT_PORTS.items()}
    jobs = yaml.safe_load(CONFIG.read_text())["scrape_configs"]
    targets = [target for job in jobs for static in job["static_configs"] for target in static["targets"]]
    assert sorted(targets) == sorted(f"{name}:{port}" for name, port in DEFAULT_PORTS.items())
