"""The registry put together: one step on `control.v1`, and the worker that founds the platform and tells the time."""

from __future__ import annotations

from services.registry.decide import decide
from services.registry.settings import RegistrySettings
from services.registry.ticks import Ticks
from shared.runtime.service import Service


def build(settings: RegistrySettings) -> Service:
    """The service, without a driver."""
    step = decide()
    return Service("registry", {step.name: step}, workers=[lambda process: Ticks(process, settings.tick_ms)])
