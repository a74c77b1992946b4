"""Settings of features: those that all services share."""

from __future__ import annotations

from shared.runtime.settings import ServiceSettings


class FeaturesSettings(ServiceSettings):
    """Nothing beyond the shared ones: windows and their lives are declared with each view."""
