"""Settings of the registry."""

from __future__ import annotations

from pydantic import Field

from shared.runtime.settings import ServiceSettings


class RegistrySettings(ServiceSettings):
    """`HEADRACE_TICK_MS` is the period of the wall clock's ticks: deadlines and cool-downs run on them."""

    tick_ms: int = Field(default=10_000, ge=100, description="milliseconds between two ticks of the wall clock")
