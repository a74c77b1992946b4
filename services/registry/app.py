"""The registry put together: one step on `control.v1`, and the worker that founds the platform and tells the time."""

from __future__ import annotations

from collections.abc import Callable

from services.registry.decide import decide
from services.registry.settings import RegistrySettings
from services.registry.ticks import Ticks, random_id
from shared.runtime.service import Service


def build(settings: RegistrySettings, new_id: Callable[[], str] = random_id) -> Service:
    """The service, without a driver. `new_id` names the log that is founded: the simulation repeats it."""
    step = decide()
    return Service("registry", {step.name: step}, workers=[lambda process: Ticks(process, settings.tick_ms, new_id)])
