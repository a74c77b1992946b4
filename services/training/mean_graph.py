"""Several graphs over the same inputs as one, whose output is the weighted mean of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from services.training.averaging import placement
from services.training.fitted_model import FittedModel
from shared.runtime.onnx_model import OUTPUT_TENSOR

# Nodes and constants of a graph whose output is OUTPUT_TENSOR.
Part: TypeAlias = tuple[list[NodeProto], list[TensorProto]]


def mean_of_parts(parts: Sequence[Part], model: FittedModel, inputs: Sequence[str]) -> Part:
    """`parts` are those of the model's members; outputs of members that lack a class of the model get a 0 for it.

    It is the sum, in float32 and in the order of the members, of their outputs times their weights.
    """
    nodes: list[NodeProto] = []
    constants: list[TensorProto] = []
    outputs: list[str] = []
    of_members = zip(parts, model.members, model.weights, strict=True)
    for number, ((of_member, fixed), member, weight) in enumerate(of_members):
        prefix = f"member{number}/"
        nodes += [_renamed(node, prefix, inputs) for node in of_member]
        constants += [_named(tensor, prefix + tensor.name) for tensor in fixed]
        outputs.append(prefix + OUTPUT_TENSOR)
        if member.classes != model.classes:
            place, placed = f"{prefix}placement", f"{prefix}placed"
            constants.append(numpy_helper.from_array(placement(member.classes, model.classes), place))
            nodes.append(helper.make_node("MatMul", [outputs[-1], place], [placed]))
            outputs[-1] = placed
        factor, weighted = f"{prefix}weight", f"{prefix}weighted"
        constants.append(numpy_helper.from_array(np.array([weight], dtype=np.float32), factor))
        nodes.append(helper.make_node("Mul", [outputs[-1], factor], [weighted]))
        outputs[-1] = weighted
    nodes.append(helper.make_node("Sum", outputs, [OUTPUT_TENSOR]))
    return nodes, constants


def _renamed(node: NodeProto, prefix: str, inputs: Sequence[str]) -> NodeProto:
    """Tensors of two members may have the same name; only the inputs are the same tensors."""
    renamed = NodeProto()
    renamed.CopyFrom(node)
    del renamed.input[:], renamed.output[:]
    renamed.input.extend(name if not name or name in inputs else prefix + name for name in node.input)
    renamed.output.extend(name and prefix + name for name in node.output)
    return renamed


def _named(tensor: TensorProto, name: str) -> TensorProto:
    named = TensorProto()
    named.CopyFrom(tensor)
    named.name = name
    return named
