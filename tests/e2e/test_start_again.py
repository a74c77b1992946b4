"""The README's commands around a platform: clone and set-up, Apache Kafka, stop and start with empty state."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import reader
from tests.e2e.documented_commands import CLONE, HELP, RELEASE, ROOT, SETUP, UP_FRESH, UP_KAFKA
from tests.eventually import eventually

CONSOLE, FEATURES, SERVING = "http://127.0.0.1:8100", "http://127.0.0.1:8102", "http://127.0.0.1:8105"
ORDERS, CUSTOMERS = 400, 40


def test_a_clone_has_everything_and_its_targets_say_what_they_do(tmp_path: Path) -> None:
    said = reader.run(f"{CLONE.replace('<this repository>', shlex.quote(str(ROOT)))} && {HELP}", tmp_path)
    assert {"make demo", "make demo-bad-candidate", "make up", "make test", "make proof"} <= {
        " ".join(line.split()[:2]) for line in said.splitlines()
    }
    assert (tmp_path / "headrace" / "README.md").exists()


def test_setup_puts_the_command_at_hand() -> None:
    said = reader.run(f"{SETUP} && command -v headrace", ROOT)
    assert said.splitlines()[-1] == str(ROOT / ".venv" / "bin" / "headrace")


@pytest.mark.timeout(600)
def test_apache_kafka_keeps_everything_and_fresh_sets_it_aside(tmp_path: Path) -> None:
    folder = reader.checkout(tmp_path)
    with reader.running(UP_KAFKA, folder, folder / "first.log"):
        reader.run("headrace apply --yes -f examples/orders/definitions.yaml", folder)
        publish(folder, "orders", ORDERS)
        publish(folder, "deliveries", ORDERS)
        eventually(lambda: model()["champion"] == 1 and model()["outcomes_decided"] == ORDERS, 240, "a first version")
        eventually(lambda: answer() is not None, 60, "it answers over HTTP too")
        before = kept()
        assert (before["accepted"], before["counted"]) == (ORDERS, ORDERS)
    with reader.running(UP_KAFKA, folder, folder / "second.log"):
        eventually(lambda: kept() == before, 60, f"what was there before the stop: {before}")
        publish(folder, "orders", ORDERS + 1)
        eventually(lambda: counted() > ORDERS, 60, "one more order is counted with those from before the stop")
        assert (accepted(), counted()) == (ORDERS + 1, ORDERS + 1), "the others are known by their ids"
        reader.run(RELEASE, folder)
        publish(folder, "orders", ORDERS + 2)
        features = folder / ".headrace" / "logs" / "features.log"
        eventually(lambda: "a later release goes on with the task" in features.read_text(), 60, "features stand back")
        assert counted() == ORDERS + 1, "what comes from there on is for the next release"
    with reader.running(UP_FRESH, folder, folder / "third.log"):
        assert httpx.get(f"{CONSOLE}/v1/counts").json()["sources"] == {}
    [aside] = (folder / ".headrace").glob("aside-*")
    assert str(aside) in (folder / "third.log").read_text()
    assert {path.name for path in aside.iterdir()} >= {"kafka", "state", "objects"}


def publish(folder: Path, what: str, count: int) -> None:
    """The example's orders or deliveries, the same ones each time."""
    reader.run(f"python -m examples.orders.generate {what} {count} | headrace publish {what}", folder)


def kept() -> dict[str, Any]:
    """What a stop and a start must not change: definitions, the model and what it answers, the services' state."""
    found = model()
    return {
        "definitions": httpx.get(f"{CONSOLE}/v1/definitions").json(),
        "model": {name: found[name] for name in ("champion", "versions", "outcomes_decided")},
        "answer": answer(),
        "accepted": accepted(),
        "counted": counted(),
    }


def model() -> dict[str, Any]:
    return httpx.get(f"{CONSOLE}/v1/models/late_delivery").json()


def answer() -> dict[str, Any] | None:
    """What the model says of one order, and the inputs that it had; None while it does not answer."""
    order = {"customer": "customer-7", "distance_km": 140, "carrier": "cheap", "weekend": True}
    said = httpx.post(f"{SERVING}/v1/models/late_delivery/predict", json=order)
    return {name: said.json()[name] for name in ("version", "prediction", "inputs")} if said.is_success else None


def accepted() -> int:
    return int(httpx.get(f"{CONSOLE}/v1/counts").json()["sources"]["orders"]["accepted"])


def counted() -> int:
    """Orders of the last hour in the windows of all customers."""
    with httpx.Client(base_url=f"{FEATURES}/v1/features/customer_orders/") as client:
        found = [client.get(f"customer-{number}").json() for number in range(CUSTOMERS)]
    return sum(one["features"]["orders_1h"] for one in found if "features" in one)
