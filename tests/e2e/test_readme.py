"""The README's commands, and those of two documents and of the examples, in their order as a reader would type them.

Those that start a platform of their own, clone or set up are run by test_start_again.py, the demos by test_demo.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import reader
from tests.e2e.documented_commands import IN_ORDER, README, UP
from tests.shared_data import SHARED_DATA, shared_file

FILE = "electricity.csv"
CONSOLE, SERVING = "http://127.0.0.1:8100", "http://127.0.0.1:8105"
ORDERS = 1_500
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it, with the file that a reader would bring."""
    folder = reader.checkout(tmp_path_factory.mktemp("reader"))
    if (SHARED_DATA / FILE).exists():
        shutil.copy(SHARED_DATA / FILE, folder / FILE)
    return folder


@pytest.fixture(scope="module")
def running(checkout: Path) -> Iterator[None]:
    """The README's first command, in a terminal of its own."""
    with reader.running(UP, checkout, checkout / "up.log"):
        yield


def test_every_command_in_order(checkout: Path, running: None) -> None:
    for command in IN_ORDER:
        if FILE in command and not (checkout / FILE).exists():
            continue
        if "--watch" in command:
            reader.watch(command, checkout, "late_delivery", looks=3)
            continue
        before_it(command)
        said = reader.run(command.replace("curl ", "curl --fail-with-body ", 1), checkout)
        behind_it(command, said)
    shared_file(FILE)  # where it is absent, its commands were left out


def before_it(command: str) -> None:
    """What the README lets a reader wait for."""
    if "retrain" in command:
        eventually(lambda: model()["outcomes_decided"] >= ORDERS, "all labels have matured")
    if "card_fraud.stream" in command:
        eventually(lambda: {"transactions/0", "chargebacks/0"} <= ingested().keys(), "ingestion knows the sources")


def behind_it(command: str, said: str) -> None:
    """What the README promises of a command."""
    match command.split():
        case [*_, "headrace", "publish", "deliveries"]:
            eventually(lambda: httpx.get(f"{SERVING}/v2/models/late_delivery/ready").status_code == 200, "a version")
        case ["headrace", "why", *_]:
            assert "run requested" in said
        case ["headrace", "apply", *_] if "mine.yaml" in command:
            assert "rollout.approval: auto -> manual" in said
        case ["headrace", "retrain", _]:
            assert "RunRequested" in said
            eventually(lambda: len(model()["versions"]) == 2, "a second version")
        case ["headrace", "approve", *_]:
            assert "VersionApproved" in said
        case ["headrace", "promote", *_]:
            eventually(lambda: model()["champion"] == 2, "the second version answers")
        case ["headrace", "rollback", _]:
            eventually(lambda: model()["champion"] == 1, "the first version answers again")
        case ["curl", *_] if "/predict" in command:
            assert '"version":1' in said
        case _:
            pass


def test_the_kafka_client_of_the_readme(checkout: Path, running: None) -> None:
    [program] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    before = accepted()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=checkout, timeout=60)
    eventually(lambda: accepted() > before, "the record of the README's Kafka client is accepted")


def model() -> dict[str, Any]:
    """The README's model, as the console tells it."""
    return httpx.get(f"{CONSOLE}/v1/models/late_delivery").json()


def ingested() -> dict[str, int]:
    """How far ingestion has applied each log, by `topic/partition`."""
    return httpx.get(f"{CONSOLE}/v1/progress").json()["ingestion"]["applied"]


def accepted() -> int:
    """Accepted records of the README's source."""
    counts = httpx.get(f"{CONSOLE}/v1/counts").json()
    return int(counts["sources"]["orders"]["accepted"])


def eventually(what: Callable[[], bool], expected: str) -> None:
    """Within about a minute, says the README; a busy machine may take longer."""
    until = time.monotonic() + 180
    while not what():
        assert time.monotonic() < until, f"{expected}: not so, but {httpx.get(f'{CONSOLE}/v1/status').text}"
        time.sleep(0.3)
