"""One form for equal ONNX graphs: names and node order of a converter may hang on string hashing, these do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnx import NodeProto, TensorProto


def canonical_graph(
    nodes: Iterable[NodeProto], initializers: Iterable[TensorProto], inputs: Sequence[str], output: str
) -> tuple[list[NodeProto], list[TensorProto]]:
    """The nodes and initializers that `output` needs, in an order and with names that follow from the graph alone.

    Nodes come in post-order of a depth-first walk from the output, so they are sorted topologically; what the output
    does not need is left out. `inputs` and `output` keep their names. Nodes must not hold subgraphs.
    """
    walk = _Walk(nodes, initializers, inputs)
    walk.visit(output)
    walk.nodes[-1].output[list(walk.nodes[-1].output).index(walk.name_of[output])] = output
    return walk.nodes, walk.initializers


class _Walk:
    def __init__(self, nodes: Iterable[NodeProto], initializers: Iterable[TensorProto], inputs: Sequence[str]) -> None:
        self.producer = {name: node for node in nodes for name in node.output if name}
        self.initializer = {tensor.name: tensor for tensor in initializers}
        self.name_of = {name: name for name in inputs} | {"": ""}
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def visit(self, name: str) -> None:
        if name in self.name_of:
            return
        if name in self.initializer:
            tensor = TensorProto()
            tensor.CopyFrom(self.initializer[name])
            tensor.name = self.name_of[name] = f"constant{len(self.initializers)}"
            self.initializers.append(tensor)
            return
        node = self.producer[name]
        for needed in node.input:
            self.visit(needed)
        self._append(node)

    def _append(self, node: NodeProto) -> None:
        position = len(self.nodes)
        for index, name in enumerate(node.output):
            if name:
                self.name_of[name] = f"tensor{position}_{index}"
        renamed = NodeProto(
            op_type=node.op_type,
            domain=node.domain,
            name=f"node{position}",
            input=[self.name_of[name] for name in node.input],
            output=[self.name_of[name] for name in node.output],
        )
        renamed.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
        self.nodes.append(renamed)
