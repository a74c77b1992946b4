"""A model whose definition selects one of river's detectors waits where river is not installed."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from shared.contracts.detectors import Detector
from shared.contracts.platform import Platform
from shared.contracts.topology import TaskSpec
from shared.runtime.step import Wait

RIVER = "river==0.26.*"


def lacks_river(platform: Platform, task: TaskSpec) -> Wait | None:
    """Why a model's outcomes are not judged by this process: it has no river; None: it has, or needs none."""
    model = platform.definitions.models.get(task.subject)
    if model is None or model.monitor.detector is Detector.E_DETECTOR or installed():
        return None
    return Wait(
        f"{task.id} waits: the definition of {model.name} selects detector {model.monitor.detector}, which is river's, "
        f"and river is not installed where this monitoring runs. {what_to_do()}"
    )


def what_to_do() -> str:
    return (
        f"Install it there (pip install '{RIVER}'; the image of monitoring holds it) and start monitoring again: "
        "nothing is lost meanwhile"
    )


@cache
def installed() -> bool:
    """Whether river can be loaded here. Looks for it, and loads nothing."""
    return find_spec("river") is not None
