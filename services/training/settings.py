"""Settings of the training service."""

from __future__ import annotations

from shared.runtime.settings import ServiceSettings


class TrainingSettings(ServiceSettings):
    """Those of every service."""
