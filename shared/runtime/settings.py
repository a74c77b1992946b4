"""Settings of every service, from the environment: `HEADRACE_*`, and `HEADRACE_KAFKA_*` for the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.contracts.errors import HeadraceError

COPY_EVERY_S = 300.0
Settings = TypeVar("Settings", bound=BaseSettings)


class SettingsInvalid(HeadraceError):
    """Environment variables that do not fit, by name."""

    def __init__(self, prefix: str, error: ValidationError) -> None:
        found = "; ".join(
            f"{'_'.join([prefix.rstrip('_'), *map(str, one['loc'])]).upper()}: {one['msg']}" for one in error.errors()
        )
        super().__init__(f"The settings do not fit: {found}. Mend the environment and start again.")


def from_environment(kind: type[Settings]) -> Settings:
    """Settings of a kind. Raises SettingsInvalid, which names the variables."""
    try:
        return kind()
    except ValidationError as error:
        raise SettingsInvalid(kind.model_config.get("env_prefix", ""), error) from error


class ServiceSettings(BaseSettings):
    """What all services share. Everything binds to loopback unless told otherwise."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", extra="ignore", frozen=True)

    data: Path = Field(default=Path(".headrace"), description="run-time data: task files, objects, logs")
    object_store: str = Field(default="", description="a folder or a URL of S3, GCS or Azure; default: DATA/objects")
    instance: str = Field(default="0", description="the name of this replica; it keeps it through restarts")
    host: str = Field(default="127.0.0.1", description="address that HTTP binds to")
    port: int = Field(default=0, ge=0, le=65_535, description="HTTP port; 0 takes the service's own default")
    share: Literal["none", "machine", "group"] = Field(
        default="none",
        description="how the tasks of a service are shared with its other instances: not at all (there is no other); "
        "those on this machine, which have the same HEADRACE_DATA; or those of a Kafka consumer group",
    )
    session_timeout_s: float = Field(
        default=10.0, ge=1, description="in a group: an instance that is silent for so many seconds is gone"
    )
    copy_every_s: float = Field(
        default=COPY_EVERY_S, gt=0, description="seconds between two copies of a task's file in the object store"
    )
    token: str = Field(default="", description="asked for whatever changes something when HTTP is not on loopback")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )

    @property
    def store_url(self) -> str:
        return self.object_store or str(self.data / "objects")

    def port_of(self, service: str) -> int:
        return self.port or DEFAULT_PORTS[service]


DEFAULT_PORTS = {
    "console": 8100, "ingestion": 8101, "features": 8102, "training": 8103, "registry": 8104, "serving": 8105,
    "monitoring": 8106,
}  # fmt: skip
STOPPED_FOR_GOOD = 3  # the exit code of a service that met an error which a restart cannot mend
