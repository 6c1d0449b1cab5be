"""A SavedModel as a graph of constants, from a fixed number of images to their embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager.wrap_function import function_from_graph_def
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

# A protobuf message cannot exceed 2 GiB, and a frozen graph is one; 1 MiB is left for its nodes.
MAX_FROZEN_BYTES = (2 << 30) - (1 << 20)


@dataclasses.dataclass(frozen=True, eq=False)
class FrozenGraph:
    """A graph without variables.

    Attributes:
      graph: a GraphDef.
      pixels: name of the input, uint8 ``[images, size, size, 3]``.
      embeddings: name of the output, float32 ``[images, D]``.
    """

    graph: Any
    pixels: str
    embeddings: str

    def function(self) -> Any:
        """Return the graph as a function that TensorFlow can call or compile."""
        return function_from_graph_def(self.graph, [self.pixels], [self.embeddings])


def can_freeze(concrete: Any) -> bool:
    """Return whether the graph stays within `MAX_FROZEN_BYTES` with its variables as constants."""
    size = variable_bytes(concrete) + int(concrete.graph.as_graph_def().ByteSize())
    return size <= MAX_FROZEN_BYTES


def variable_bytes(concrete: Any) -> int:
    """Return the bytes of the variables of a function."""
    sizes = (
        variable.dtype.size * (variable.shape.num_elements() or 0)
        for variable in concrete.variables
    )
    return int(sum(sizes))


def freeze(concrete: Any) -> FrozenGraph:
    """Turn the variables of a function from `SavedModel.traced` into constants.

    Constants let weights that are computed from weights (standardised convolutions, folded norms)
    be computed once; control flow stays as it is for XLA.
    """
    constant = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    return pruned(
        FrozenGraph(
            graph=constant.graph.as_graph_def(),
            pixels=constant.inputs[0].name,
            embeddings=constant.outputs[0].name,
        )
    )


def pruned(frozen: FrozenGraph) -> FrozenGraph:
    """Return the graph without nodes that nothing reads: OpenVINO takes those for outputs."""
    return dataclasses.replace(
        frozen, graph=only_read(frozen.graph, [frozen.pixels, frozen.embeddings])
    )


def only_read(graph: Any, tensors: Sequence[str]) -> Any:
    """Return a GraphDef of the nodes that some tensors depend on, in the order of the given one."""
    nodes = {node.name: node for node in graph.node}
    wanted = list(tensors)
    read: set[str] = set()
    while wanted:
        name = node_name(wanted.pop().removeprefix("^"))
        if name not in read:
            read.add(name)
            wanted.extend(nodes[name].input)
    kept = tf.compat.v1.GraphDef(versions=graph.versions, library=graph.library)
    kept.node.extend(node for node in graph.node if node.name in read)
    return kept


def node_name(tensor: str) -> str:
    """Return the name of the node of a tensor."""
    return tensor.partition(":")[0]
