"""A served model answers rows and columns alike, and refuses what it can't read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from shared.runtime.onnx_model import ArtifactUnreadable, InputTypeMismatch, OnnxModel, load

ROOT = Path(__file__).parents[3]
MANIFEST = (
    '{"inputs":[{"kind":"number","name":"x"},{"kind":"category","name":"c"},{"kind":"number","name":"y"}],'
    '"task":"regression"}'
)


def artifact(manifest: str | None = MANIFEST) -> bytes:
    """output = x + 10 y + 100 (a), + 200 (b), or + 0 (any other category)."""
    weights = onnx.numpy_helper.from_array(np.array([[1.0], [10.0]], dtype=np.float32), "weights")
    nodes = [
        helper.make_node("MatMul", ["numbers", "weights"], ["weighted"]),
        helper.make_node(
            "LabelEncoder",
            ["categories"],
            ["shift"],
            domain="ai.onnx.ml",
            keys_strings=["a", "b"],
            values_floats=[100.0, 200.0],
            default_float=0.0,
        ),
        helper.make_node("Add", ["weighted", "shift"], ["output"]),
    ]
    inputs = [
        helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [None, 2]),
        helper.make_tensor_value_info("categories", TensorProto.STRING, [None, 1]),
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 1])
    model = helper.make_model(
        helper.make_graph(nodes, "sum", inputs, [output], [weights]),
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
    )
    if manifest is not None:
        helper.set_model_props(model, {"headrace": manifest})
    return model.SerializeToString()


def test_a_row_is_read_by_name_in_the_order_of_the_manifest() -> None:
    model = load(artifact())
    assert model.manifest["task"] == "regression"
    assert model.predict_row({"y": 2, "x": 1.5, "c": "a", "unused": "z"}) == [121.5]
    assert model.predict_row({"y": True, "x": False, "c": None}) == [10.0]


def test_rows_and_columns_give_the_same_answers() -> None:
    model = OnnxModel.load(artifact())
    rows = [{"x": float(i), "y": i % 3, "c": "abz"[i % 3]} for i in range(50)]
    numbers = np.array([[row["x"], row["y"]] for row in rows], dtype=np.float32)
    categories = np.array([[row["c"]] for row in rows], dtype=object)
    together = model.predict_rows(rows)
    assert together == [model.predict_row(row) for row in rows]
    assert together == model.predict_columns(numbers, categories).tolist()
    assert model.predict_rows([]) == []


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -1e300, 10**400])
def test_what_float32_cannot_hold_counts_as_missing(value: float | None) -> None:
    [output] = load(artifact()).predict_row({"x": value, "y": 0.0, "c": ""})
    assert np.isnan(output)


@pytest.mark.parametrize("row", [{"x": "1", "y": 0, "c": "a"}, {"x": 1, "y": 0, "c": 5}])
def test_a_value_of_the_wrong_kind_names_the_input(row: dict[str, float | str]) -> None:
    with pytest.raises(InputTypeMismatch, match=r"input '[xc]' is a (number|category)"):
        load(artifact()).predict_row(row)


@pytest.mark.parametrize(
    "damaged", [b"", b"no model at all", artifact()[:-200], artifact(None), artifact("not json"), artifact("{}")]
)
def test_bytes_that_are_no_artifact_are_refused(damaged: bytes) -> None:
    with pytest.raises(ArtifactUnreadable, match="sha256"):
        load(damaged)


def test_it_needs_neither_scikit_learn_nor_onnx() -> None:
    code = "import sys, shared.runtime.onnx_model; print({'sklearn', 'onnx', 'pandas', 'kafka'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "set()"
