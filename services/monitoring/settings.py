"""Settings of monitoring, from the environment."""

from __future__ import annotations

from pydantic import Field

from shared.runtime.settings import ServiceSettings


class MonitoringSettings(ServiceSettings):
    """What monitoring asks for besides what all services share."""

    outcomes_per_segment: int = Field(default=2_000, ge=1, description="matured outcomes in one segment of the archive")
