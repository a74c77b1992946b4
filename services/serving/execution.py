"""What a model says of its inputs; nothing where it fails or says what is no number."""

from __future__ import annotations

import math

from onnxruntime.capi import (
    onnxruntime_pybind11_state as onnxruntime_errors,  # pyright: ignore[reportAttributeAccessIssue]
)

from shared.contracts.flow import Inputs
from shared.runtime.onnx_model import InputTypeMismatch, OnnxModel

RUN_ERRORS = (
    InputTypeMismatch,
    onnxruntime_errors.EPFail,
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.NotImplemented,
    onnxruntime_errors.RuntimeException,
)


def output_of(model: OnnxModel, inputs: Inputs) -> tuple[float, ...] | None:
    """The output for one record; None if the model failed, or any of its numbers is not finite."""
    try:
        output = model.predict_row(inputs)
    except RUN_ERRORS:
        return None
    return tuple(output) if all(map(math.isfinite, output)) else None
