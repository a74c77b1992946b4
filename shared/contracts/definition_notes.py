"""What a person should know of definitions that may be put in force all the same."""

from __future__ import annotations

from collections.abc import Iterable

from shared.contracts.definitions import FeatureView, Model, Source
from shared.contracts.detectors import Detector


def notes(declared: Iterable[Source | FeatureView | Model]) -> list[str]:
    """One a line, in the order of the definitions."""
    return [note for definition in declared if isinstance(definition, Model) for note in _of_model(definition)]


def _of_model(model: Model) -> Iterable[str]:
    monitor = model.monitor
    if monitor.detector is Detector.E_DETECTOR:
        return
    defaults = type(monitor).model_fields
    unused = [n for n in ("expected_run_length", "tolerance") if getattr(monitor, n) != defaults[n].default]
    ignores = f"; it does not use {' and '.join(unused)}" if unused else ""
    yield (
        f"Model {model.name}: monitor.detector {monitor.detector} guarantees no number of outcomes between false "
        f"alarms, as e_detector does{ignores}: see what it does on this model's outcomes with `headrace backtest drift "
        f"{model.name} --detector {monitor.detector}`"
    )
