"""Courses of the decision loop on the real files, and what is compared of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deploy.simulation.decision_loop import Course, DecisionLoop, Fits, Recorded
from services.training.evaluation import Losses
from services.training.fit_job import loss_of, run_job
from shared.contracts.definitions import Model, Published
from shared.runtime.onnx_model import OnnxModel
from tests.benchmarks._files import MODELS, published

Settings = Mapping[str, Mapping[str, Any]]


def defined(example: str, settings: Settings) -> tuple[tuple[Published, ...], Model]:
    """The example's definitions with its one model, of which some sections say something else; and that model."""
    kept, model = list[Published](), None
    for one in published(example):
        if not isinstance(one, Model):
            kept.append(one)
        elif one.name == MODELS[example]:
            written = one.model_dump()
            model = Model(**written | {name: written[name] | dict(said) for name, said in settings.items()})
    assert model is not None
    return (*kept, model), model


def played(
    example: str, stream: Sequence[Recorded], settings: Settings, *, at_once: bool, fits: Fits = run_job
) -> Course:
    """With real fits. `at_once`: without rollouts."""
    definitions, model = defined(example, settings)
    return DecisionLoop(definitions, model.name, fits, at_once=at_once).play(stream)


def next_after(stream: Sequence[Recorded], time_ms: int) -> int:
    """The place of the first record that is scored at that time or later."""
    return bisect_left(stream, time_ms, key=lambda record: record.scored_ms)


def artifact_losses(model: Model, artifact: bytes, records: Sequence[Recorded]) -> Losses:
    """The bounded loss of a version on each labelled record [n]."""
    version = OnnxModel(artifact)
    outputs = np.array(version.predict_rows([record.inputs for record in records]))
    loss, target = loss_of(model), np.array([record.label for record in records])
    return loss.bounded(loss.per_row(outputs, target, tuple(version.manifest.get("classes") or ())))
