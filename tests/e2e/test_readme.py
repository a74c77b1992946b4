"""The README's commands, run in their order as a reader would; only the clone, the demos and the test commands are not.

The demos are run by test_demo.py; `make setup` by whoever runs the tests.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.spawn import end, spawn

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
ELECTRICITY = ROOT.parent / "shared" / "data" / "electricity.csv"
CONSOLE, SERVING = "http://127.0.0.1:8100", "http://127.0.0.1:8105"
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it, with the file that a reader would bring."""
    folder = tmp_path_factory.mktemp("reader")
    for name in ("examples", "deploy", "services", "shared"):
        (folder / name).symlink_to(ROOT / name)
    if ELECTRICITY.exists():
        shutil.copy(ELECTRICITY, folder / "electricity.csv")
    return folder


@pytest.fixture(scope="module")
def running(checkout: Path) -> Iterator[None]:
    """The README's first command, in a terminal of its own."""
    command = COMMANDS[0]
    assert command.startswith("headrace up"), "the README's first command starts the platform"
    with (checkout / "up.log").open("wb") as log:
        up = spawn(["bash", "-c", f"exec {command}"], env=ENVIRONMENT, cwd=checkout, output=log)
        try:
            until = time.monotonic() + 120
            while "Headrace is running" not in (checkout / "up.log").read_text():
                assert up.poll() is None, (checkout / "up.log").read_text()
                assert time.monotonic() < until, (checkout / "up.log").read_text()
                time.sleep(0.2)
            yield
            up.send_signal(signal.SIGINT)
            assert up.wait(timeout=60) == 0, (checkout / "up.log").read_text()
        finally:
            end([up], grace_s=10)


def run(command: str, folder: Path) -> str:
    """A reader's command; it must succeed."""
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=200, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def wait_for_first_version() -> None:
    """Within about a minute, says the README; a busy machine may take longer."""
    until = time.monotonic() + 180
    while time.monotonic() < until:
        if httpx.get(f"{SERVING}/v2/models/late_delivery/ready").status_code == 200:
            return
        time.sleep(0.5)
    raise AssertionError("no first version: " + httpx.get(f"{CONSOLE}/v1/status").text)


def test_every_command_of_the_readme_in_order(checkout: Path, running: None) -> None:
    published = 0
    for command in COMMANDS[1:]:
        if "electricity.csv" in command and not ELECTRICITY.exists() and os.environ.get("CI") != "true":
            continue
        said = run(command, checkout)
        published += "headrace publish" in command
        if published == 2:
            wait_for_first_version()
            published = 0
        if "/predict" in command:
            assert '"version":1' in said
        if "headrace why" in command:
            assert "run requested" in said


def test_the_kafka_client_of_the_readme(checkout: Path, running: None) -> None:
    [program] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    before = accepted()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=checkout, timeout=60)
    until = time.monotonic() + 20
    while accepted() == before:
        assert time.monotonic() < until, "the record of the README's Kafka client was not accepted"
        time.sleep(0.1)


def accepted() -> int:
    """Accepted records of the README's source."""
    counts = httpx.get(f"{CONSOLE}/v1/counts").json()
    return int(counts["sources"]["orders"]["accepted"])
