"""Settings of the console."""

from __future__ import annotations

from pydantic import Field

from shared.runtime.settings import DEFAULT_PORTS, ServiceSettings


def _default_urls() -> dict[str, str]:
    return {name: f"http://127.0.0.1:{port}" for name, port in DEFAULT_PORTS.items()}


class ConsoleSettings(ServiceSettings):
    """Those of every service, and where the services answer over HTTP."""

    service_urls: dict[str, str] = Field(
        default_factory=_default_urls, description="JSON: the URL of each service by name, replicas as serving-1"
    )
    public_urls: dict[str, str] = Field(
        default_factory=dict,
        description="JSON: what clients are told instead, by name, where they reach a service at another URL",
    )
    decision_wait_s: float = Field(default=2.0, ge=0, description="how long a command waits for its effect")
    definitions_wait_s: float = Field(default=10.0, ge=0, description="how long a request waits for its definitions")
