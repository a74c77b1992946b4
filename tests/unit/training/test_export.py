"""The artifact: one file, the same bytes in any process, and tensors that serving can rely on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from services.training.canonical_graph import canonical_graph
from services.training.dataset import Dataset, Kind, LabelledRow, Task
from services.training.export import OPSETS, artifact_bytes, to_onnx
from services.training.families import FAMILIES
from services.training.parity import check_parity
from shared.runtime.onnx_model import OnnxModel
from tests.unit.training.streams import purchases
from tests.unit.training.test_fit import quick_fit

ROOT = Path(__file__).parents[3]
PRINT_DIGESTS = """
import hashlib
from services.training.export import artifact_bytes
from services.training.families import FAMILIES
from tests.unit.training.streams import purchases
from tests.unit.training.test_fit import quick_fit
for task, families in FAMILIES.items():
    for family in families:
        print(task, family, hashlib.sha256(artifact_bytes(quick_fit(purchases(300, task), (family,), 1))).hexdigest())
"""


def test_equal_bytes_in_processes_with_other_hash_seeds_and_threads() -> None:
    printed = [
        subprocess.run(
            [sys.executable, "-c", PRINT_DIGESTS],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout
        for seed, threads in (("1", "1"), ("4711", "2"))
    ]
    assert len(printed[0].splitlines()) == 6
    assert printed[0] == printed[1]


def test_another_seed_or_row_gives_other_bytes() -> None:
    data = purchases(300, "binary")
    digests = {
        hashlib.sha256(artifact_bytes(model)).hexdigest()
        for model in (quick_fit(data), quick_fit(data, seed=8), quick_fit(data[1:]))
    }
    assert len(digests) == 3


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_inputs_and_output_tensors(task: Task) -> None:
    for family in FAMILIES[task]:
        model = quick_fit(purchases(300, task), (family,), 1)
        graph = to_onnx(model).graph
        tensors = {tensor.name: tensor.type.tensor_type for tensor in (*graph.input, *graph.output)}
        assert list(tensors) == ["numbers", "categories", "output"]
        columns = {name: tensor.shape.dim[1].dim_value for name, tensor in tensors.items()}
        assert columns == {"numbers": 3, "categories": 2, "output": 3 if task == "multiclass" else 1}
        assert [tensor.elem_type for tensor in tensors.values()] == [
            onnx.TensorProto.FLOAT,
            onnx.TensorProto.STRING,
            onnx.TensorProto.FLOAT,
        ]


@pytest.mark.parametrize("family", ["hist_gradient_boosting", "linear"])
@pytest.mark.parametrize(("kind", "tensor"), [("number", "numbers"), ("category", "categories")])
def test_a_tensor_without_columns_is_left_out(family: str, kind: Kind, tensor: str) -> None:
    rows = [
        LabelledRow(f"r{i:03d}", i, {"x": float(i % 5) if kind == "number" else f"c{i % 5}"}, int(i % 5 > 2))
        for i in range(100)
    ]
    data = Dataset.from_rows([("x", kind)], rows, "binary")
    model = quick_fit(data, (family,))
    assert [each.name for each in to_onnx(model).graph.input] == [tensor]
    assert check_parity(model, artifact_bytes(model), data).rows == 100


def test_the_manifest_says_what_made_the_model() -> None:
    data = purchases(300, "multiclass")
    model = quick_fit(data)
    artifact = artifact_bytes(model)
    manifest = OnnxModel.load(artifact).manifest
    assert manifest["task"] == "multiclass"
    assert manifest["inputs"] == [
        {"name": name, "kind": kind} for name, kind in zip(data.names, data.kinds, strict=True)
    ]
    assert manifest["classes"] == ["high", "low", "middle"]
    assert (manifest["family"], manifest["parameters"]) == ("logistic_regression", model.parameters)
    assert (manifest["seed"], manifest["rows"], manifest["fitted_rows"]) == (7, 300, 270)
    assert manifest["dataset_sha256"] == data.digest()
    assert set(manifest["reference"]["numbers"]) == {"amount", "abroad", "since"}
    assert manifest["loss"]["rows"] == 30
    [entry] = onnx.load_from_string(artifact).metadata_props
    assert entry.value == json.dumps(manifest, sort_keys=True, separators=(",", ":"))


def test_values_that_no_fitted_row_had_are_answered_as_the_original_answers() -> None:
    for task in FAMILIES:
        for family in FAMILIES[task]:
            data = purchases(400, task)
            model = quick_fit(data, (family,), 1)
            numbers = data.numbers.copy()
            numbers[::3, 1] = np.nan
            numbers[1::3, 0] = np.float32(-3e38) if family == "hist_gradient_boosting" else np.float32(-1e4)
            categories = data.categories.copy()
            categories[::2] = "never seen"
            other = dataclasses.replace(data, numbers=numbers, categories=categories)
            assert check_parity(model, artifact_bytes(model), other).rows == 400


def test_neighbouring_float32_values_fall_on_the_same_side_of_a_threshold() -> None:
    first = np.float32(1.7e9)
    values = [first]
    for _ in range(7):
        values.append(np.nextafter(values[-1], np.float32(np.inf)))
    rows = [LabelledRow(f"r{i:03d}", i, {"x": float(values[i % 8])}, float(i % 8) ** 2) for i in range(200)]
    data = Dataset.from_rows([("x", "number")], rows, "regression")
    model = quick_fit(data, ("hist_gradient_boosting",), 1)
    assert len(np.unique(model.predict(data.numbers, data.categories))) == 8
    assert check_parity(model, artifact_bytes(model), data).largest_difference < 1e-6


@pytest.mark.parametrize("family", ["hist_gradient_boosting", "linear"])
@pytest.mark.parametrize("odd", [[None], [5.0], [0.0, 3e38, -3e38], [0.0, 1e-42, 3e-42]])
def test_columns_that_are_missing_constant_huge_or_tiny(family: str, odd: list[float | None]) -> None:
    rows = [
        LabelledRow(f"r{i:03d}", i, {"odd": odd[i % len(odd)], "x": float(i % 7)}, int(i % 7 > 3)) for i in range(200)
    ]
    data = Dataset.from_rows([("odd", "number"), ("x", "number")], rows, "binary")
    model = quick_fit(data, (family,))
    assert model.loss["mean"] < 0.3
    other = dataclasses.replace(data, numbers=np.where(np.isnan(data.numbers), np.float32(2), data.numbers))
    for rows_to_check in (data, other):
        assert check_parity(model, artifact_bytes(model), rows_to_check).rows == 200


def test_the_canonical_graph_hangs_on_neither_names_nor_order() -> None:
    def graph(suffix: str, backwards: bool) -> list[bytes]:
        def named(text: str) -> str:
            return f"{text}{suffix}"

        nodes = [
            onnx.helper.make_node("Neg", ["x"], [named("a")], name=named("n0")),
            onnx.helper.make_node("Add", [named("a"), named("one")], [named("b")], name=named("n1")),
            onnx.helper.make_node("Mul", [named("b"), "x"], ["output"], name=named("n2")),
            onnx.helper.make_node("Abs", ["x"], [named("unused")], name=named("n3")),
        ]
        constant = onnx.numpy_helper.from_array(np.array([1.0], dtype=np.float32), named("one"))
        ordered, constants = canonical_graph(nodes[::-1] if backwards else nodes, [constant], ["x"], "output")
        assert [node.op_type for node in ordered] == ["Neg", "Add", "Mul"]
        return [part.SerializeToString() for part in (*ordered, *constants)]

    assert graph("", backwards=False) == graph("_other", backwards=True)
    assert OPSETS[""] == 17
