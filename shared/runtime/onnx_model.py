"""A served model: one ONNX file with its manifest, and the one rule that turns a record's inputs into tensors.

Training evaluates with this class and serving answers with it, so both see the same float32 values. It imports only
numpy and onnxruntime. The file's tensors: `numbers` float32 [n, F] and `categories` string [n, C] (each only where
the model has such inputs) to `output` float32 [n, 1] (binary: probability of class 1; regression: the value) or [n,
K] (multiclass).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import (
    onnxruntime_pybind11_state as onnxruntime_errors,  # pyright: ignore[reportAttributeAccessIssue]
)

InputValue: TypeAlias = float | int | bool | str | None

NUMBER = "number"
CATEGORY = "category"
NUMBERS_TENSOR = "numbers"
CATEGORIES_TENSOR = "categories"
OUTPUT_TENSOR = "output"
MANIFEST_KEY = "headrace"
MISSING_CATEGORY = ""

_UNLOADABLE = (
    onnxruntime_errors.Fail,
    onnxruntime_errors.InvalidArgument,
    onnxruntime_errors.InvalidGraph,
    onnxruntime_errors.InvalidProtobuf,
    onnxruntime_errors.NoModel,
    onnxruntime_errors.NotImplemented,
    onnxruntime_errors.RuntimeException,
)
_NAN = float("nan")
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


class ArtifactUnreadable(ValueError):
    """The bytes are no model that this platform wrote."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"model artifact can't be loaded: {reason}. "
            "Compare its sha256 with the version's; if they differ, restore the object or repeat the run."
        )


class InputTypeMismatch(ValueError):
    """A value does not fit the kind of its input."""

    def __init__(self, name: str, kind: str, value: object) -> None:
        self.name = name
        self.kind = kind
        super().__init__(
            f"input {name!r} is a {kind}, but got {value!r} ({type(value).__name__}). "
            f"Send a {kind}, or null if it is missing."
        )


def number_of(value: InputValue, name: str = "") -> float:
    """The number that a model sees: booleans become 1.0 and 0.0; None, NaN and what float32 can't hold become NaN
    (missing).

    Raises InputTypeMismatch for a string.
    """
    if value is None:
        return _NAN
    if isinstance(value, str):
        raise InputTypeMismatch(name, NUMBER, value)
    # An integer too large for a double compares exactly and is refused here, before float() could raise.
    return float(value) if -_LARGEST_FLOAT32 <= value <= _LARGEST_FLOAT32 else _NAN


def category_of(value: InputValue, name: str = "") -> str:
    """The category that a model sees: a string as it is, '' for None. Raises InputTypeMismatch for anything else."""
    if value is None:
        return MISSING_CATEGORY
    if isinstance(value, str):
        return value
    raise InputTypeMismatch(name, CATEGORY, value)


class OnnxModel:
    """An artifact loaded for inference on one CPU thread. Calls are safe from several threads at once."""

    def __init__(self, artifact: bytes) -> None:
        """Raises ArtifactUnreadable if the bytes are no ONNX model or carry no manifest."""
        self._session = _session(artifact)
        self.manifest = _manifest(self._session)
        inputs = [(str(entry["name"]), str(entry["kind"])) for entry in self.manifest["inputs"]]
        self._number_names = tuple(name for name, kind in inputs if kind == NUMBER)
        self._category_names = tuple(name for name, kind in inputs if kind == CATEGORY)

    @classmethod
    def load(cls, artifact: bytes) -> OnnxModel:
        """The model in these bytes. Raises ArtifactUnreadable."""
        return cls(artifact)

    def predict_columns(
        self, numbers: npt.NDArray[np.float32] | None, categories: npt.NDArray[np.object_] | None
    ) -> npt.NDArray[np.float32]:
        """Outputs [n, 1] or [n, K] of n rows; a matrix that the model has no inputs for is ignored and may be None."""
        feed: dict[str, npt.NDArray[Any]] = {}
        if self._number_names:
            feed[NUMBERS_TENSOR] = np.ascontiguousarray(numbers, dtype=np.float32)
        if self._category_names:
            feed[CATEGORIES_TENSOR] = np.ascontiguousarray(categories, dtype=object)
        return self._run(feed)

    def predict_row(self, inputs: Mapping[str, InputValue]) -> list[float]:
        """Output of one record; an input that is absent counts as missing. Raises InputTypeMismatch."""
        return self.predict_rows((inputs,))[0]

    def predict_rows(self, rows: Sequence[Mapping[str, InputValue]]) -> list[list[float]]:
        """Outputs of several records, in their order. Raises InputTypeMismatch."""
        if not rows:
            return []
        feed: dict[str, npt.NDArray[Any]] = {}
        if self._number_names:
            numbers = [[number_of(row.get(name), name) for name in self._number_names] for row in rows]
            feed[NUMBERS_TENSOR] = np.array(numbers, dtype=np.float32)
        if self._category_names:
            categories = [[category_of(row.get(name), name) for name in self._category_names] for row in rows]
            feed[CATEGORIES_TENSOR] = np.array(categories, dtype=object)
        return self._run(feed).tolist()

    def _run(self, feed: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        outputs: list[Any] = list(self._session.run([OUTPUT_TENSOR], feed))
        return outputs[0]


def load(artifact: bytes) -> OnnxModel:
    """The model in these bytes. Raises ArtifactUnreadable."""
    return OnnxModel(artifact)


def _session(artifact: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    except _UNLOADABLE as error:
        raise ArtifactUnreadable(str(error)) from error


def _manifest(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    text = session.get_modelmeta().custom_metadata_map.get(MANIFEST_KEY)
    if text is None:
        raise ArtifactUnreadable(f"its metadata has no entry {MANIFEST_KEY!r}")
    try:
        manifest = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArtifactUnreadable(f"its manifest is no JSON ({error})") from error
    if not isinstance(manifest, dict) or "inputs" not in manifest:
        raise ArtifactUnreadable("its manifest does not list the model's inputs")
    return cast(dict[str, Any], manifest)
