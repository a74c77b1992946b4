"""One prediction, from the platform at a control position: everything that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.serving.execution import output_of
from services.serving.split import Split
from shared.contracts.flow import Inputs, PredictionMade, VersionOutput
from shared.runtime.onnx_model import OnnxModel


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version as it is served."""

    sha256: str
    model: OnnxModel


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a model. `record_id` None: it is about no record, so that no label can answer it."""

    model: str
    entity: str
    record_id: str | None
    inputs: Inputs
    origin: str  # stream | http
    request_id: str | None = None


def predict(question: Question, control: int, split: Split, versions: Mapping[int, Loaded]) -> PredictionMade:
    """The outputs of all versions in play, side by side.

    A version that fails, or whose output is not finite, has none. `answered_by` names who answers by the split all the
    same: an answer without an output is a failed one.
    """
    outputs: dict[int, VersionOutput] = {}
    for number, version in versions.items():
        output = output_of(version.model, question.inputs)
        if output is not None:
            outputs[number] = VersionOutput(artifact_sha256=version.sha256, output=output)
    return PredictionMade(
        model=question.model,
        record_id=question.record_id,
        entity=question.entity,
        origin=question.origin,
        inputs=question.inputs,
        control=control,
        answered_by=split.answered_by,
        outputs=outputs,
        champion=split.champion,
        rollout_id=split.rollout_id,
        candidate=split.candidate,
        step=split.step,
        share=split.share,
        split=split.drawn,
        request_id=question.request_id,
    )
