"""What an outcome cost: the bounded loss of each version in play, and the reported figures of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.contracts.definitions import Model, Task
from shared.contracts.flow import LabelStatus
from shared.contracts.losses import REPORT_METRICS, Invalid, LossSpec, bounded_loss, loss_spec, report_metric
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
    def place(self) -> tuple[int, str]:
        """In the order of decision."""
        return self.time_ms, self.record_id

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
        loss = None if spec is None else bounded_loss(spec, output, row["label"])
        losses[version] = None if isinstance(loss, Invalid) else loss
    return Judged(position, row["record_id"], row["due_ms"], row, labelled, losses, specs)


def figures_of_answer(model: Model, outcome: Judged) -> Mapping[str, float | None]:
    """The monitored loss (`loss`) and each reported metric of what was answered; None where there is no such figure."""
    version: int = outcome.row["answered_by"]
    spec, output = outcome.specs.get(version), outcome.row["outputs"].get(str(version))
    figures: dict[str, float | None] = {"loss": outcome.losses.get(version)}
    for name in reported(model):
        value = None if spec is None else report_metric(spec, name, output, outcome.row["label"])
        figures[name] = None if isinstance(value, Invalid) else value
    return figures


def measure_of(model: Model) -> str:
    """What losses are by: two of one measure can be added up."""
    return f"{model.metric} clip {model.monitor.clip} scale {model.monitor.scale}"


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
    return loss_spec(model, classes)
