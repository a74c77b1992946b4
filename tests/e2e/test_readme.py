"""The README's commands, and those of two documents and of the examples, in their order as a reader would type them.

Those that start a platform of their own, clone or set up are run by test_start_again.py, the demos by test_demo.py.
"""

from __future__ import annotations

import json
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

from shared.contracts.envelope import Encoded
from shared.contracts.topology import TaskSpec
from shared.runtime.dead_letters import dead_letter
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.log import LogRecord, SendError, TopicPartition
from shared.runtime.settings import DEFAULT_PORTS
from tests.e2e import reader
from tests.e2e.documented_commands import IN_ORDER, README, UP
from tests.eventually import eventually
from tests.shared_data import SHARED_DATA, shared_file

FILE = "electricity.csv"
CONSOLE, SERVING, KAFKA = "http://127.0.0.1:8100", "http://127.0.0.1:8105", "127.0.0.1:9092"
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
    if command == "headrace rejected":
        send_what_does_not_fit()
        promised(lambda: counted()["rejected"] == 1, "the bad order is rejected")
    if command == "headrace dead list":
        bury_an_order()
        promised(lambda: bool(httpx.get(f"{CONSOLE}/v1/dead").json()["dead"]), "the dead letter is listed")
    if command.startswith(("headrace retrain", "headrace backtest")):
        promised(lambda: model()["outcomes_decided"] >= 2 * ORDERS, "all labels have matured")
    if "card_fraud.stream" in command:
        promised(lambda: {"transactions/0", "chargebacks/0"} <= ingested().keys(), "ingestion knows the sources")


def behind_it(command: str, said: str) -> None:
    """What the README promises of a command."""
    match command.split():
        case [*_, "headrace", "publish", "deliveries"]:
            promised(lambda: httpx.get(f"{SERVING}/v2/models/late_delivery/ready").status_code == 200, "a version")
        case ["headrace", "rejected", *options]:
            shows_the_rejected(said, as_json="--json" in options)
        case ["headrace", "dead", what, *options]:
            shows_the_letter(what, said, as_json="--json" in options)
        case ["headrace", "status"]:
            shows_the_platform(said)
        case ["headrace", "status", "--json"]:
            document = json.loads(said)
            assert document["models"]["late_delivery"]["champion"] == 1
            assert document["sources"]["orders"]["rejected_by_reason"] == {"out_of_range": 1}
            assert {service["state"] for service in document["services"].values()} <= {"ready", "waiting"}
        case ["headrace", "doctor"]:
            assert said.startswith("nothing is wrong, as far as ")
        case ["headrace", "models"]:
            assert row_of("late_delivery", said)[:3] == ["late_delivery", "1", "champion"]
        case ["headrace", "runs"]:
            assert {"bootstrap", "finished"} <= set(row_of("late_delivery", said))
        case ["headrace", "why", *_]:
            assert "run requested" in said
        case ["headrace", "backtest", "drift", *_]:
            assert f"{ORDERS:,} losses" in said
            assert {"e_detector,", "adwin:"} <= {line.split()[0] for line in said.splitlines() if line.strip()}
        case ["headrace", "backtest", "policy", *_]:
            rows = [line.split() for line in said.splitlines() if line.startswith(" every,rows=500")]
            assert [row[1:5] for row in rows[1:]] == [["5", "0", "0", "5"]]  # behind its accuracy: all went live
        case ["headrace", "apply", *_] if "mine.yaml" in command:
            assert "rollout.approval: auto -> manual" in said
        case ["headrace", "retrain", _]:
            assert "RunRequested" in said
            promised(lambda: len(model()["versions"]) == 2, "a second version")
        case ["headrace", "approve", *_]:
            assert "VersionApproved" in said
        case ["headrace", "promote", *_]:
            promised(lambda: model()["champion"] == 2, "the second version answers")
        case ["headrace", "rollback", _]:
            promised(lambda: model()["champion"] == 1, "the first version answers again")
        case ["curl", *_] if "/predict" in command:
            assert '"version":1' in said
        case _:
            pass


def test_the_kafka_client_of_the_readme(checkout: Path, running: None) -> None:
    [program] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    before = accepted()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, cwd=checkout, timeout=60)
    promised(lambda: accepted() > before, "the record of the README's Kafka client is accepted")


def model() -> dict[str, Any]:
    """The README's model, as the console tells it."""
    return httpx.get(f"{CONSOLE}/v1/models/late_delivery").json()


def ingested() -> dict[str, int]:
    """How far ingestion has applied each log, by `topic/partition`."""
    return httpx.get(f"{CONSOLE}/v1/progress").json()["ingestion"]["applied"]


def counted() -> dict[str, Any]:
    """Counts of the README's first source, as the console tells them."""
    return httpx.get(f"{CONSOLE}/v1/counts").json()["sources"]["orders"]


def accepted() -> int:
    return int(counted()["accepted"])


def send_what_does_not_fit() -> None:
    """As a Kafka client may: over HTTP it would be refused."""
    send(TopicPartition("orders", 0), Encoded(b"customer-7", order("bad-1", distance_km=-3), ()))


def bury_an_order() -> None:
    """A letter as intake writes it for a record on which it raised: the first of its partition, for its id follows from
    that, and the document names it."""
    spec = TaskSpec("ingestion", "intake", "orders", "orders", 0, ())
    record = LogRecord("orders", 0, 0, 0, b"customer-7", order("buried-1", distance_km=3), ())
    letter = dead_letter(spec, record, ValueError("a defect, mended since"), "", None, 1_000_000)
    send(TopicPartition(letter.topic, 0), letter.encoded)


def order(name: str, distance_km: float) -> bytes:
    known = {"customer": "customer-7", "order": name, "at": time.time_ns() // 1_000_000, "distance_km": distance_km}
    return json.dumps({**known, "carrier": "cheap", "weekend": True}).encode()


def send(tp: TopicPartition, what: Encoded) -> None:
    errors: list[SendError | None] = []
    writer = KafkaBroker(KafkaSettings(bootstrap=KAFKA, embedded=True)).writer()
    writer.send(tp, what.key, what.value, what.headers, lambda _, error: errors.append(error))
    writer.flush(20.0)
    writer.close()
    assert errors == [None]


def shows_the_rejected(said: str, *, as_json: bool) -> None:
    """The one order that did not fit, and why."""
    if as_json:
        [found] = json.loads(said)["rejected"]
        assert (found["source"], found["topic"], found["reason"]) == ("orders", "orders", "out_of_range")
        assert "distance_km" in found["detail"]
    else:
        [line] = [line for line in said.splitlines() if "out_of_range" in line]
        assert "orders/0@" in line
        assert "distance_km" in line


def shows_the_letter(what: str, said: str, *, as_json: bool) -> None:
    """The one dead letter; once it is replayed, its order is accepted."""
    match what:
        case "list" if as_json:
            [found] = json.loads(said)["dead"]
            assert found["reason"] == "a defect, mended since"
        case "list":
            assert "a defect, mended since" in said
        case "show":
            assert '"order": "buried-1"' in said
        case _:
            before = 2 * ORDERS + 1  # those that test_every_command_in_order has published by then, and a good one
            assert "stands at orders/0@" in said
            promised(lambda: accepted() > before, "the order is accepted")


def shows_the_platform(said: str) -> None:
    """All services, the orders of both publishers and the one that did not fit, and the version that answers."""
    assert set(DEFAULT_PORTS) <= {line.split()[0] for line in said.splitlines() if line.strip()}
    _, published, accepted, _, rejected, *_ = row_of("orders", said)
    assert (published, accepted, rejected) == (f"{ORDERS + 2:,}", f"{ORDERS + 1:,}", "1")
    assert row_of("late_delivery", said)[:3] == ["late_delivery", "version", "1"]


def row_of(name: str, said: str) -> list[str]:
    """The words of the table row that begins with this name."""
    [row] = [words for line in said.splitlines() if (words := line.split())[:1] == [name]]
    return row


def promised(holds: Callable[[], bool], what: str) -> None:
    """Within about a minute, says the README; a busy machine may take longer."""
    try:
        eventually(holds, 180, what)
    except AssertionError as late:
        late.add_note(httpx.get(f"{CONSOLE}/v1/status").text)
        raise
