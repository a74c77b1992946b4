"""Somebody else's cluster: TLS, SASL, and refusals that are told as what they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.kafka.artifacts import fetch, java
from deploy.kafka.cluster import KafkaCluster
from deploy.ports import free_ports
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_settings import KafkaSettings, SaslMechanism, SecurityProtocol
from shared.runtime.log import AccessDenied, BrokerAway, TopicPartition
from shared.runtime.settings import STOPPED_FOR_GOOD
from tests.conformance.log_contract import Acks, read, write

USER, PASSWORD = "headrace-tests", "not-a-secret"
_PLAIN = (
    f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}" user_other="other";'
)
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True, slots=True)
class Secured:
    """A cluster that listens in three ways; `authority` is the certificate that its own is checked against."""

    tls: str
    sasl_tls: str
    sasl: str
    authority: Path

    def settings(
        self,
        protocol: SecurityProtocol,
        mechanism: SaslMechanism | None = None,
        password: str = PASSWORD,
    ) -> KafkaSettings:
        where = {"SSL": self.tls, "SASL_SSL": self.sasl_tls, "SASL_PLAINTEXT": self.sasl}[protocol]
        return KafkaSettings(
            bootstrap=where,
            security_protocol=protocol,
            sasl_mechanism=mechanism,
            sasl_username=USER if mechanism else None,
            sasl_password=SecretStr(password) if mechanism else None,
            ssl_cafile=str(self.authority) if "SSL" in protocol else None,
            topic_prefix="somebody-elses.",
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    store, authority = _certificate(folder, "broker")
    home = folder / "kafka"
    KafkaCluster(home)  # chooses the ports of the node
    [node] = json.loads((home / "cluster.json").read_bytes())["nodes"]
    ours = {"PLAINTEXT": node["port"]} | dict(zip(("TLS", "SASLTLS", "SASLOPEN"), free_ports(3), strict=True))
    addresses = {name: f"127.0.0.1:{port}" for name, port in ours.items()}
    advertised = ",".join(f"{name}://{address}" for name, address in addresses.items())
    further = {
        "listeners": f"{advertised},CONTROLLER://127.0.0.1:{node['controller_port']}",
        "advertised.listeners": advertised,
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,SASLTLS:SASL_SSL,SASLOPEN:SASL_PLAINTEXT"
        ),
        "ssl.keystore.location": str(store),
        "ssl.keystore.password": PASSWORD,
        "ssl.keystore.type": "PKCS12",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
    } | {
        f"listener.name.{listener}.{mechanism}.sasl.jaas.config": module
        for listener in ("sasltls", "saslopen")
        for mechanism, module in (("plain", _PLAIN), ("scram-sha-256", _SCRAM))
    }
    with KafkaCluster(home, further=further) as cluster:
        _add_user(cluster.bootstrap)
        yield Secured(addresses["TLS"], addresses["SASLTLS"], addresses["SASLOPEN"], authority)


@pytest.mark.parametrize(
    ("protocol", "mechanism"),
    [("SSL", None), ("SASL_SSL", "PLAIN"), ("SASL_SSL", "SCRAM-SHA-256"), ("SASL_PLAINTEXT", "SCRAM-SHA-256")],
)
def test_topics_are_made_written_and_read(
    secured: Secured, protocol: SecurityProtocol, mechanism: SaslMechanism | None
) -> None:
    broker = KafkaBroker(secured.settings(protocol, mechanism))
    tp = TopicPartition(f"t.{protocol}.{mechanism}", 0)
    admin, writer, reader = broker.admin(), broker.writer(), broker.reader()
    admin.create(tp.topic, 1, {})
    write(writer, tp, b"a", b"b")
    reader.assign({tp: 0})
    assert [record.value for record in read(reader, 2)] == [b"a", b"b"]
    for one in (admin, writer, reader):
        one.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_a_wrong_password_is_told_as_such(secured: Secured, mechanism: SaslMechanism) -> None:
    broker = KafkaBroker(secured.settings("SASL_SSL", mechanism, password="wrong"))
    reader = broker.reader()
    reader.assign({TopicPartition("t", 0): 0})
    # Which of the two depends on whether kafka-python reads the refusal before it sees that the broker hung up.
    told = pytest.raises((AccessDenied, BrokerAway), match="SASL_PASSWORD")
    with told:
        reader.poll(1, 10)
    with told:
        broker.writer().send(TopicPartition("t", 0), None, b"x", (), Acks())
    with told:
        broker.admin().topics()


def test_a_certificate_of_another_authority_is_told_as_such(secured: Secured) -> None:
    broker = KafkaBroker(replace(secured.settings("SSL"), ssl_cafile=None))
    with pytest.raises(AccessDenied, match="SSL_CAFILE"):
        broker.admin().topics()


def test_a_service_that_is_refused_says_why_and_nothing_secret(secured: Secured, tmp_path: Path) -> None:
    [port] = free_ports(1)
    environment = {
        "HEADRACE_DATA": str(tmp_path),
        "HEADRACE_PORT": str(port),
        "HEADRACE_KAFKA_BOOTSTRAP": secured.tls,
        "HEADRACE_KAFKA_SECURITY_PROTOCOL": "SSL",
        "HEADRACE_KAFKA_SASL_PASSWORD": "a-secret-of-ours",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "services.registry"],
        env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == STOPPED_FOR_GOOD
    said = json.loads(ended.stderr.splitlines()[-1])
    assert "certificate" in said["event"]
    assert "HEADRACE_KAFKA_SSL_CAFILE" in said["event"]
    assert "a-secret-of-ours" not in ended.stderr
    assert "Traceback" not in ended.stderr


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A key store with a certificate for this machine that signs itself, and the certificate as PEM."""
    store, pem = folder / f"{name}.p12", folder / f"{name}.pem"
    access = ["-keystore", str(store), "-storepass", PASSWORD, "-alias", name]
    _keytool("-genkeypair", "-keyalg", "RSA", "-dname", f"CN={name}", "-ext", "san=ip:127.0.0.1", *access)
    _keytool("-exportcert", "-rfc", "-file", str(pem), *access)
    return store, pem


def _keytool(*arguments: str) -> None:
    subprocess.run([Path(java()).with_name("keytool"), *arguments], check=True, capture_output=True)


def _add_user(bootstrap: str) -> None:
    """The user of SCRAM; Kafka keeps those in its own log."""
    subprocess.run(
        [
            java(), "-cp", f"{fetch(None)}{os.sep}*", "kafka.admin.ConfigCommand", "--bootstrap-server", bootstrap,
            "--alter", "--add-config", f"SCRAM-SHA-256=[password={PASSWORD}]",
            "--entity-type", "users", "--entity-name", USER,
        ],
        check=True, capture_output=True,
    )  # fmt: skip
