"""Settings of serving, from the environment."""

from __future__ import annotations

from pydantic import Field

from shared.runtime.settings import ServiceSettings

SPARE_MODELS = 4


class ServingSettings(ServiceSettings):
    spare_models: int = Field(default=SPARE_MODELS, ge=0, description="loaded models kept though nothing needs them")
