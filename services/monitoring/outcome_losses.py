"""What an outcome cost: the bounded loss of each version in play, and the reported figures of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from services.monitoring.losses import REPORT_METRICS, Invalid, Label, LossSpec, bounded_loss, report_metric
from shared.contracts.definitions import Model, Task
from shared.contracts.flow import LabelStatus
from shared.contracts.identity import canonical_text
from shared.contracts.platform import Platform

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """An outcome in its place: `position` counts decided outcomes, this one included.

    `losses`: in [0, 1] by version; None where the output or the label gives none. Empty if the outcome is unlabelled.
    """

    position: int
    record_id: str
    time_ms: int
    row: Row
    labelled: bool
    losses: Mapping[int, float | None]
    specs: Mapping[int, LossSpec | None]

    @property
    def ordinal(self) -> int:
        return self.position - 1


def judged(model: Model, platform: Platform, row: Row, position: int) -> Judged:
    """The outcome with the losses of all versions in it."""
    labelled = row["status"] != LabelStatus.UNLABELLED
    losses: dict[int, float | None] = {}
    specs: dict[int, LossSpec | None] = {}
    for text, output in row["outputs"].items() if labelled else ():
        version = int(text)
        spec = specs[version] = spec_of(model, platform, version)
        loss = None if spec is None else bounded_loss(spec, output, _label(spec, row["label"]))
        losses[version] = None if isinstance(loss, Invalid) else loss
    return Judged(position, row["record_id"], row["due_ms"], row, labelled, losses, specs)


def figures_of_answer(model: Model, outcome: Judged) -> Mapping[str, float | None]:
    """The monitored loss (`loss`) and each reported metric of what was answered; None where there is no such figure."""
    version: int = outcome.row["answered_by"]
    spec, output = outcome.specs.get(version), outcome.row["outputs"].get(str(version))
    figures: dict[str, float | None] = {"loss": outcome.losses.get(version)}
    for name in reported(model):
        value = None if spec is None else report_metric(spec, name, output, _label(spec, outcome.row["label"]))
        figures[name] = None if isinstance(value, Invalid) else value
    return figures


def reported(model: Model) -> tuple[str, ...]:
    """The metrics of the definition that its task has."""
    known = REPORT_METRICS[model.task.value]
    return tuple(metric.value for metric in model.reported if metric.value in known)


def spec_of(model: Model, platform: Platform, version: int) -> LossSpec | None:
    """How the version's outputs are judged; None for several classes whose order nobody has told."""
    state = platform.model(model.name).versions.get(version)
    classes = state.classes if state else ()
    if not classes and model.task is not Task.REGRESSION:
        labels = platform.definitions.sources.get(model.label.source)
        field = labels.fields.get(model.label.field) if labels else None
        # Sorted, as training orders classes that it finds.
        classes = tuple(sorted(field.enum)) if field and field.enum else ()
    return _spec(model, classes)


@lru_cache(maxsize=256)
def _spec_cached(task: str, metric: str, clip: float, scale: float | None, classes: tuple[str, ...]) -> LossSpec | None:
    if task == "multiclass" and len(classes) < 2:
        return None
    binary = classes if len(classes) == 2 else ()
    kept = {"multiclass": classes, "binary": binary}.get(task, ())
    return LossSpec(
        task="multiclass" if task == "multiclass" else "binary" if task == "binary" else "regression",
        metric=metric, clip=clip, scale=scale, classes=kept,
    )  # fmt: skip


def _spec(model: Model, classes: tuple[str, ...]) -> LossSpec | None:
    # A squared error has no bound in the definition: what decides is the absolute one, on the declared scale.
    metric = "absolute_error" if model.task is Task.REGRESSION else model.metric.value
    return _spec_cached(model.task.value, metric, model.monitor.clip, model.monitor.scale, classes)


def _label(spec: LossSpec, label: float | str | None) -> Label:
    return canonical_text(label) if spec.classes and label is not None else label
