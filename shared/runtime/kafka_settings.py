"""How to reach the Kafka cluster: environment variables `HEADRACE_KAFKA_*`."""

from __future__ import annotations

import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.contracts.errors import HeadraceError
from shared.runtime.settings import from_environment

BOOTSTRAP_TIMEOUT_MS = 3_000
_REQUEST_TIMEOUT_MS = 10_000

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class TlsFileUnusable(HeadraceError):
    """A file of certificates or keys that is missing, or holds something else."""

    def __init__(self, given: Mapping[str, str | None], error: OSError) -> None:
        named = " with ".join(f"{variable}={file}" for variable, file in given.items() if file)
        super().__init__(
            f"TLS to Kafka cannot be set up from {named or 'the certificates of this machine'}: "
            f"{error.strerror or error}. Name a PEM file that this process may read, and start again."
        )


@contextmanager
def _usable(given: Mapping[str, str | None]) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise TlsFileUnusable(given, error) from error


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """What the adapter needs to know. `embedded` marks the broker that `headrace up` starts by itself."""

    bootstrap: str = "127.0.0.1:9092"
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    topic_prefix: str = ""
    replication_factor: int = 1
    embedded: bool = False
    client_id: str = "headrace"

    def client_options(self) -> dict[str, Any]:
        """What every client of kafka-python is told."""
        return {
            "bootstrap_servers": [server.strip() for server in self.bootstrap.split(",")],
            "client_id": self.client_id,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password.get_secret_value() if self.sasl_password else None,
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
            "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
            "request_timeout_ms": _REQUEST_TIMEOUT_MS,
            "reconnect_backoff_max_ms": 1_000,
            "proxy_url": "direct://",
        }

    def tls(self) -> ssl.SSLContext | None:
        """What a TLS connection is checked against; None without TLS. Raises TlsFileUnusable."""
        if "SSL" not in self.security_protocol:
            return None
        authority = {"HEADRACE_KAFKA_SSL_CAFILE": self.ssl_cafile}
        ours = {"HEADRACE_KAFKA_SSL_CERTFILE": self.ssl_certfile, "HEADRACE_KAFKA_SSL_KEYFILE": self.ssl_keyfile}
        for variable, file in (authority | ours).items():
            if file:
                with _usable({variable: file}):
                    # What ssl raises of a file that is missing does not name it.
                    Path(file).open("rb").close()
        with _usable(authority):
            context = ssl.create_default_context(cafile=self.ssl_cafile)
        if self.ssl_certfile:
            with _usable(ours):
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
        return context

    def addresses(self) -> list[tuple[str, int]]:
        """(host, port) of each bootstrap server; a port left out is 9092."""
        found: list[tuple[str, int]] = []
        for server in self.bootstrap.split(","):
            host, colon, port = server.strip().rpartition(":")
            found.append((host.strip("[]"), int(port)) if colon else (port, 9092))
        return found


class KafkaEnvironment(BaseSettings):
    """The environment variables, as they are validated."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_KAFKA_", extra="ignore")

    bootstrap: str = Field(
        default="127.0.0.1:9092",
        pattern=r"^[^\s,]+(\s*,\s*[^\s,]+)*$",
        description="host:port of one or more brokers, comma separated; a port left out is 9092",
    )
    security_protocol: SecurityProtocol = Field(
        default="PLAINTEXT", description="PLAINTEXT, SSL (TLS), SASL_PLAINTEXT or SASL_SSL"
    )
    sasl_mechanism: SaslMechanism | None = Field(default=None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    sasl_username: str | None = Field(default=None, description="the user of SASL")
    sasl_password: SecretStr | None = Field(default=None, description="the user's password; it is never logged")
    ssl_cafile: str | None = Field(
        default=None, description="PEM file of the authority that signed the brokers; default: the machine's own"
    )
    ssl_certfile: str | None = Field(default=None, description="PEM file of our certificate, where brokers ask for one")
    ssl_keyfile: str | None = Field(default=None, description="PEM file of that certificate's key")
    topic_prefix: str = Field(
        default="", pattern=r"^[A-Za-z0-9._-]*$", description="stands before the name of every topic, users' included"
    )
    replication_factor: int = Field(
        default=1, ge=-1, description="of the topics that are created; -1: what the cluster says"
    )
    embedded: bool = Field(default=False, description="the broker is the embedded one; `headrace up` sets it")
    client_id: str = Field(default="headrace", description="how the cluster's logs and quotas name us")

    @model_validator(mode="after")
    def sasl_is_whole(self) -> KafkaEnvironment:
        given = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
        if self.security_protocol.startswith("SASL") and None in given:
            raise ValueError(
                f"security protocol {self.security_protocol} needs HEADRACE_KAFKA_SASL_MECHANISM, "
                "HEADRACE_KAFKA_SASL_USERNAME and HEADRACE_KAFKA_SASL_PASSWORD"
            )
        return self


def kafka_settings() -> KafkaSettings:
    """Settings from the environment. Raises SettingsInvalid, which names the variables."""
    environment = from_environment(KafkaEnvironment)
    return KafkaSettings(**{name: getattr(environment, name) for name in KafkaEnvironment.model_fields})
