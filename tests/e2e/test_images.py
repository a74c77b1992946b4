"""What an image holds is enough: each service's lock in an environment of its own, with shared/ and that one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from deploy.ports import free_ports

ROOT = Path(__file__).parents[2]
SERVICES = ("ingestion", "features", "training", "registry", "serving", "monitoring", "console")
UV = Path(sys.executable).parent / "uv"


def image(service: str, folder: Path) -> Path:
    """Install as deploy/Dockerfile does; the environment's Python."""
    shutil.copytree(ROOT / "shared", folder / "shared", ignore=shutil.ignore_patterns("__pycache__"))
    target = folder / "services" / service
    shutil.copytree(ROOT / "services" / service, target, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder / ".venv"], check=True)
    python = folder / ".venv" / "bin" / "python"
    lock = ROOT / f"requirements-{service}.lock"
    install = [UV, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock]
    subprocess.run(install, check=True, timeout=300)
    return python


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", SERVICES)
def test_an_image_starts_alone_and_says_what_it_waits_for(service: str, tmp_path: Path) -> None:
    python = image(service, tmp_path)
    other = "registry" if service != "registry" else "serving"
    look = f"import services.{service}, importlib.util as u; print(u.find_spec('services.{other}'))"
    assert subprocess.check_output([python, "-c", look], cwd=tmp_path, text=True).strip() == "None"
    port, nobody = free_ports(2)
    environment = {
        "PATH": os.environ["PATH"],
        "HEADRACE_PORT": str(port),
        "HEADRACE_DATA": str(tmp_path / "data"),
        "HEADRACE_KAFKA_BOOTSTRAP": f"127.0.0.1:{nobody}",
    }
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen([python, "-m", f"services.{service}"], cwd=tmp_path, env=environment, stderr=log)
        try:
            waits = said_of_kafka(port, running)
            assert f"127.0.0.1:{nobody}" in waits, "it names the broker that it waits for"
            assert httpx.get(f"http://127.0.0.1:{port}/livez").status_code == 200
            assert "headrace_" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
        finally:
            running.terminate()
            ended = running.wait(timeout=20)
    assert ended == 0, (tmp_path / "log").read_text()


def said_of_kafka(port: int, running: subprocess.Popen[bytes]) -> str:
    """What /readyz says of the broker, once it says something."""
    until = time.monotonic() + 60
    while time.monotonic() < until and running.poll() is None:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/readyz")
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        reason = answer.json()["reasons"].get("kafka")
        if reason:
            assert answer.status_code == 503
            return str(reason)
        time.sleep(0.1)
    raise AssertionError(f"it ended with {running.poll()}, or never said what it waits for")
