"""The compose file as it is committed: from the machine that runs it, it can be used as the README says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from deploy.kafka.artifacts import KAFKA_VERSION
from shared.runtime.settings import DEFAULT_PORTS

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docker-compose.yml"
SERVICES: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]


def published() -> dict[str, tuple[str, int]]:
    """Container and port behind each address of this machine, `host:port`."""
    found: dict[str, tuple[str, int]] = {}
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            address, _, inside = port.rpartition(":")
            assert address not in found
            found[address] = (name, int(inside))
    return found


def listeners(setting: str) -> dict[str, tuple[str, int]]:
    """Host and port of each of Kafka's listeners by name."""
    entries = SERVICES["kafka"]["environment"][setting].split(",")
    parts = (re.fullmatch(r"(\w+)://(.*):(\d+)", entry) for entry in entries)
    return {part[1]: (part[2], int(part[3])) for part in parts if part}


def test_compose_accepts_the_file() -> None:
    compose = Path(sys.executable).parent / "docker-compose"
    for token, accepted in (("secret", True), ("", False)):
        environment = {**os.environ, "HEADRACE_TOKEN": token}
        ran = subprocess.run(
            [compose, "config", "--quiet"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert (ran.returncode == 0) == accepted, ran.stderr


def test_it_runs_the_apache_kafka_that_the_tests_run() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_every_address_of_the_documents_is_published_and_on_loopback_only() -> None:
    text = "".join((ROOT / name).read_text() for name in ("README.md", "docs/operations.md", FILE.name))
    documented = set(re.findall(r"127\.0\.0\.1:\d+\b", text))
    assert {"127.0.0.1:9092", "127.0.0.1:8100", "127.0.0.1:3000"} <= documented <= published().keys()
    assert all(address.startswith("127.0.0.1:") for address in published())


def test_services_and_clients_are_told_addresses_that_they_can_reach() -> None:
    for name in DEFAULT_PORTS:
        told = SERVICES[name]["environment"]
        inside, outside = json.loads(told["HEADRACE_SERVICE_URLS"]), json.loads(told["HEADRACE_PUBLIC_URLS"])
        assert inside == {name: f"http://{name}:{port}" for name, port in DEFAULT_PORTS.items()}
        assert outside.keys() == inside.keys()
        reached = {name: published()[url.removeprefix("http://")] for name, url in outside.items()}
        assert reached == {name: (name, port) for name, port in DEFAULT_PORTS.items()}


def test_kafka_has_a_listener_for_containers_and_one_for_this_machine() -> None:
    settings = SERVICES["kafka"]["environment"]
    bound, advertised = listeners("KAFKA_LISTENERS"), listeners("KAFKA_ADVERTISED_LISTENERS")
    protocols = dict(entry.split(":") for entry in settings["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    controller = settings["KAFKA_CONTROLLER_LISTENER_NAMES"]
    assert protocols == dict.fromkeys(bound, "PLAINTEXT")
    assert advertised.keys() == bound.keys() - {controller} == {"SERVICES", "HOST"}
    assert settings["KAFKA_INTER_BROKER_LISTENER_NAME"] == "SERVICES"
    assert settings["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"1@kafka:{bound[controller][1]}"
    assert advertised["SERVICES"] == ("kafka", bound["SERVICES"][1])
    bootstraps = {SERVICES[name]["environment"]["HEADRACE_KAFKA_BOOTSTRAP"] for name in DEFAULT_PORTS}
    assert bootstraps == {":".join(map(str, advertised["SERVICES"]))}
    assert published()[":".join(map(str, advertised["HOST"]))] == ("kafka", bound["HOST"][1])
    assert len({port for _, port in bound.values()}) == len(bound)
    assert f"localhost:{bound['SERVICES'][1]} " in SERVICES["kafka"]["healthcheck"]["test"][1]
