"""Whether a broker is there, told before any client is made: what is wrong with TLS is said as such."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.ports import free_ports
from shared.contracts.errors import HeadraceError
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_reader import reachable
from shared.runtime.kafka_settings import KafkaSettings, TlsFileUnusable
from shared.runtime.log import BrokerAway
from shared.runtime.settings import STOPPED_FOR_GOOD

NOBODY = "127.0.0.1:9"
Listening = Callable[[bytes | None], str]


@pytest.fixture
def listening() -> Iterator[Listening]:
    """Starts a server without TLS that answers each connection's first bytes with its own, or hangs up at None."""
    servers: list[tuple[socket.socket, threading.Thread]] = []

    def serve(server: socket.socket, answer: bytes | None) -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                if connection.recv(4096) == b"end":
                    return
                if answer is not None:
                    connection.sendall(answer)

    def start(answer: bytes | None) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, args=(server, answer))
        thread.start()
        servers.append((server, thread))
        return "{}:{}".format(*server.getsockname())

    yield start
    for server, thread in servers:
        with socket.create_connection(server.getsockname()) as connection:
            connection.sendall(b"end")
        thread.join()
        server.close()


def test_what_listens_is_there_and_what_does_not_is_away(listening: Listening) -> None:
    where = listening(b"")
    assert reachable(KafkaSettings(bootstrap=where))
    assert reachable(KafkaSettings(bootstrap=f"{NOBODY},{where}"))
    assert not reachable(KafkaSettings(bootstrap=NOBODY))
    assert not reachable(KafkaSettings(bootstrap=NOBODY, security_protocol="SSL"))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", None])
def test_a_server_without_tls_is_told_as_such(listening: Listening, answer: bytes | None) -> None:
    where = listening(answer)
    settings = KafkaSettings(bootstrap=f"{where},{NOBODY}", security_protocol="SSL")
    with pytest.raises(BrokerAway, match=f"No TLS connection to {where}: .*HEADRACE_KAFKA_SECURITY_PROTOCOL") as told:
        KafkaBroker(settings).admin().topics()
    assert told.value.bootstrap == settings.bootstrap


@pytest.mark.parametrize("field", ["ssl_cafile", "ssl_certfile", "ssl_keyfile"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, field: str) -> None:
    missing = tmp_path / "missing.pem"
    given: dict[str, Any] = {field: str(missing)}
    settings = KafkaSettings(bootstrap=NOBODY, security_protocol="SSL", **given)
    with pytest.raises(TlsFileUnusable) as told:
        reachable(settings)
    assert f"HEADRACE_KAFKA_{field.upper()}={missing}: No such file or directory" in str(told.value)
    assert isinstance(told.value, HeadraceError)


@pytest.mark.parametrize("field", ["ssl_cafile", "ssl_certfile"])
def test_a_file_that_is_no_certificate_is_named(tmp_path: Path, field: str) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate\n")
    given: dict[str, Any] = {field: str(wrong)}
    with pytest.raises(TlsFileUnusable, match=f"HEADRACE_KAFKA_{field.upper()}={wrong}: ") as told:
        reachable(KafkaSettings(bootstrap=NOBODY, security_protocol="SASL_SSL", **given))
    assert isinstance(told.value.__cause__, ssl.SSLError)


def test_a_service_with_a_missing_file_ends_and_says_it(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    environment = {
        "HEADRACE_DATA": str(tmp_path),
        "HEADRACE_PORT": str(free_ports(1)[0]),
        "HEADRACE_KAFKA_BOOTSTRAP": NOBODY,
        "HEADRACE_KAFKA_SECURITY_PROTOCOL": "SSL",
        "HEADRACE_KAFKA_SSL_CAFILE": str(missing),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "services.registry"],
        env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == STOPPED_FOR_GOOD, ended.stderr
    assert f"HEADRACE_KAFKA_SSL_CAFILE={missing}" in json.loads(ended.stderr.splitlines()[-1])["event"]
    assert "Traceback" not in ended.stderr
