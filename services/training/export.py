"""A fitted model as its artifact: one ONNX file whose metadata carries the manifest.

The estimator goes through skl2onnx; the category encoding in front of it and the choice of one output behind it are
written here. The members of an average stand side by side over the same inputs, with their weighted mean behind them.
Equal (dataset, parameters, seed) give equal bytes in any process, whatever PYTHONHASHSEED is.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType

from services.training.canonical_graph import canonical_graph
from services.training.category_encoding import UNSEEN_RANK, CategoryEncoding
from services.training.fitted_model import FittedEstimator, FittedModel
from services.training.mean_graph import Part, mean_of_parts
from shared.runtime.onnx_model import CATEGORIES_TENSOR, MANIFEST_KEY, NUMBERS_TENSOR, OUTPUT_TENSOR

GRAPH_NAME = "headrace"
MANIFEST_FORMAT = 1
OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
FEATURES = "features"


def artifact_bytes(model: FittedModel) -> bytes:
    """The artifact of this model. Metadata has one entry, MANIFEST_KEY: the manifest as canonical JSON."""
    exported = to_onnx(model)
    entry = exported.metadata_props.add()
    entry.key = MANIFEST_KEY
    entry.value = json.dumps(manifest(model), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return exported.SerializeToString(deterministic=True)


def manifest(model: FittedModel) -> dict[str, Any]:
    """What an artifact says about itself. Of the dataset's `rows` the first `fitted_rows` were fitted on.

    `loss` is of the newest `loss.rows` rows, before they were fitted on; they have been since if the two are equal.
    """
    return {
        "format": MANIFEST_FORMAT,
        "task": model.task,
        "inputs": [{"name": name, "kind": kind} for name, kind in zip(model.names, model.kinds, strict=True)],
        "classes": list(model.classes),
        "family": model.family,
        "parameters": model.parameters,
        "seed": model.seed,
        "dataset_sha256": model.dataset_sha256,
        "rows": model.rows,
        "fitted_rows": model.fitted_rows,
        "fitted_to": model.fitted_to,
        "reference": model.reference,
        "loss": model.loss,
        "calibration": model.calibration,
        "expected_loss": model.expected_loss,
    }


def to_onnx(model: FittedModel) -> ModelProto:
    """The graph without the manifest; its tensors are those of shared.runtime.onnx_model."""
    number_count = sum(kind == "number" for kind in model.kinds)
    inputs = _inputs(number_count, sum(kind == "category" for kind in model.kinds))
    names = [value.name for value in inputs]
    parts = [_part(member, number_count) for member in model.members]
    nodes, constants = parts[0] if len(parts) == 1 else mean_of_parts(parts, model, names)
    ordered, kept = canonical_graph(nodes, constants, names, OUTPUT_TENSOR)
    width = len(model.classes) or 1
    graph = helper.make_graph(
        ordered,
        GRAPH_NAME,
        inputs,
        [helper.make_tensor_value_info(OUTPUT_TENSOR, TensorProto.FLOAT, [None, width])],
        kept,
    )
    exported = helper.make_model(
        graph,
        producer_name=GRAPH_NAME,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in OPSETS.items()],
    )
    checker.check_model(exported)
    return exported


def _part(member: FittedEstimator, number_count: int) -> Part:
    """Nodes and constants of one member, from the inputs to OUTPUT_TENSOR."""
    estimator, raw_output = _converted_estimator(member, number_count + member.encoding.width)
    nodes, constants = _encoding_nodes(member.encoding, number_count)
    nodes += estimator.graph.node
    constants += estimator.graph.initializer
    nodes += _output_nodes(raw_output, constants, member.task == "binary")
    return nodes, constants


def _converted_estimator(member: FittedEstimator, width: int) -> tuple[ModelProto, str]:
    estimator = member.estimator
    options = None if member.task == "regression" else {id(estimator): {"zipmap": False}}
    with warnings.catch_warnings():
        # The converter passes booleans for an integer attribute: protobuf 6 warns, and where warnings are errors it
        # fails.
        warnings.simplefilter("ignore", DeprecationWarning)
        converted: Any = convert_sklearn(
            estimator,
            name=GRAPH_NAME,
            initial_types=[(FEATURES, FloatTensorType([None, width]))],
            options=options,
            target_opset=OPSETS,
        )
    # A classifier has two outputs, label and probabilities; the label is dropped.
    return converted, converted.graph.output[-1].name


def _inputs(number_count: int, category_count: int) -> list[ValueInfoProto]:
    tensors = (
        (NUMBERS_TENSOR, TensorProto.FLOAT, number_count),
        (CATEGORIES_TENSOR, TensorProto.STRING, category_count),
    )
    return [helper.make_tensor_value_info(name, kind, [None, columns]) for name, kind, columns in tensors if columns]


def _encoding_nodes(encoding: CategoryEncoding, number_count: int) -> tuple[list[NodeProto], list[TensorProto]]:
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    parts = [NUMBERS_TENSOR] if number_count else []
    for column, words in enumerate(encoding.vocabularies):
        name = f"category_{column}"
        constants.append(numpy_helper.from_array(np.array([column], dtype=np.int64), f"{name}_position"))
        nodes.append(helper.make_node("Gather", [CATEGORIES_TENSOR, f"{name}_position"], [name], axis=1))
        nodes.append(_rank_node(name, words))
        parts.append(f"{name}_rank")
        if encoding.style == "one_hot":
            ranks = np.arange(len(words), dtype=np.float32).reshape(1, -1)
            constants.append(numpy_helper.from_array(ranks, f"{name}_ranks"))
            nodes.append(helper.make_node("Equal", [f"{name}_rank", f"{name}_ranks"], [f"{name}_equal"]))
            nodes.append(helper.make_node("Cast", [f"{name}_equal"], [f"{name}_one_hot"], to=TensorProto.FLOAT))
            parts[-1] = f"{name}_one_hot"
    nodes.append(helper.make_node("Concat", parts, [FEATURES], axis=1))
    return nodes, constants


def _rank_node(name: str, words: tuple[str, ...]) -> NodeProto:
    return helper.make_node(
        "LabelEncoder",
        [name],
        [f"{name}_rank"],
        domain="ai.onnx.ml",
        keys_strings=list(words),
        values_floats=[float(rank) for rank in range(len(words))],
        default_float=UNSEEN_RANK,
    )


def _output_nodes(raw_output: str, constants: list[TensorProto], binary: bool) -> list[NodeProto]:
    if not binary:
        return [helper.make_node("Identity", [raw_output], [OUTPUT_TENSOR])]
    constants.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "class_1"))
    return [helper.make_node("Gather", [raw_output, "class_1"], [OUTPUT_TENSOR], axis=1)]
