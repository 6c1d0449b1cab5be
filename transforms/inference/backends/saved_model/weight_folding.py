"""What a graph computes from its weights alone, computed once: standardised kernels, folded norms.

Its variables then need not be constants of a protobuf, which takes several times their memory, and
the rest of the graph, which computes from images, is small enough for any reader.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.python.eager.wrap_function import function_from_graph_def
from tensorflow.python.framework import op_def_registry
from tensorflow.python.grappler import tf_optimizer

from beamscope.transforms.inference.backends.saved_model.freezing import node_name, only_read

# The operations on variables that answer the same each time, where no other is there.
_READS = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd")


@dataclasses.dataclass(frozen=True, eq=False)
class FoldedGraph:
    """A graph from images to embeddings whose weights are inputs.

    Attributes:
      graph: a GraphDef.
      weights: tensors by the names of the placeholders that stand for them in the graph. To take
        one out frees its memory, once nothing else holds it.
    """

    graph: Any
    weights: dict[str, tf.Tensor]


def fold_weights(concrete: Any) -> FoldedGraph:
    """Compute what a function computes from its variables and from nothing else.

    Args:
      concrete: a function of one tensor, as from `SavedModel.traced`; its first output counts.

    Raises:
      ValueError: it changes a variable, or reads what of it depends on images; or a weight is no
        number.
      Exception: of any kind that TensorFlow raises.
    """
    graph = _inlined(concrete)
    _check_only_reads(graph)
    parts = _Parts(graph, concrete)
    captured = {inner.op.name: outer for outer, inner in concrete.graph.captures}
    given = [name for name in parts.order if name in captured]
    folded = list(parts.folded)
    values = []
    if folded:
        compute = function_from_graph_def(
            parts.of_weights(), [_tensor_name(name) for name in given], folded
        )
        for tensor, output in zip(folded, compute.outputs, strict=True):
            kind = output.dtype
            if not (kind.is_bool or kind.is_integer or kind.is_floating):
                raise ValueError(f"{tensor} is {kind.name}, which cannot be a constant")
        values = compute(*(captured[name] for name in given))
    weights = {f"beamscope/weights/{number}": value for number, value in enumerate(values)}
    return FoldedGraph(parts.of_images(weights), weights)


class _Parts:
    """The nodes of a graph, by whether they depend on images.

    Attributes:
      order: the names of all nodes on which the output depends, each behind its inputs.
      folded: the tensors that come from weights alone and are read by the rest, each with the
        names of the nodes that read it, and at which of their inputs.
    """

    def __init__(self, graph: Any, concrete: Any) -> None:
        self._graph = graph
        self._nodes = {node.name: node for node in graph.node}
        self._output = node_name(concrete.outputs[0].name)
        self._captured = {inner.op.name for _, inner in concrete.graph.captures}
        # Of images; or of what may be another thing at each call.
        self._varying: dict[str, bool] = {concrete.inputs[0].op.name: True}
        self._weighty: dict[str, bool] = {concrete.inputs[0].op.name: False}
        self.order: list[str] = []
        for name in self._in_order():
            inputs = [node_name(tensor) for _, tensor in self._data_inputs(name)]
            self._varying.setdefault(
                name, _has_state(self._nodes[name].op) or any(self._varying[i] for i in inputs)
            )
            self._weighty.setdefault(
                name, name in self._captured or any(self._weighty[i] for i in inputs)
            )
            self.order.append(name)
        self.folded = self._folded()

    def of_weights(self) -> Any:
        """Return a GraphDef of what does not depend on images."""
        return self._made((name for name in self.order if not self._varying[name]), {})

    def of_images(self, weights: Mapping[str, tf.Tensor]) -> Any:
        """Return a GraphDef of the rest, with a placeholder for each folded tensor, in order."""
        stands_in = {
            reader: name
            for name, readers in zip(weights, self.folded.values(), strict=True)
            for reader in readers
        }
        graph = self._made(self.order, stands_in)
        for name, value in weights.items():
            node = graph.node.add(name=name, op="Placeholder")
            node.attr["dtype"].type = value.dtype.as_datatype_enum
            node.attr["shape"].shape.CopyFrom(value.shape.as_proto())
        return only_read(graph, [self._output])

    def _folded(self) -> dict[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {}
        for name in self.order:
            if self._varying[name]:
                for index, tensor in self._data_inputs(name):
                    source = node_name(tensor)
                    if self._weighty[source] and not self._varying[source]:
                        found.setdefault(_tensor_name(tensor), []).append((name, index))
        return found

    def _made(self, names: Iterable[str], stands_in: Mapping[tuple[str, int], str]) -> Any:
        """Return a GraphDef of some nodes, ordered by their data alone: nothing in it assigns."""
        graph = tf.compat.v1.GraphDef(versions=self._graph.versions, library=self._graph.library)
        for name in names:
            node = graph.node.add()
            node.CopyFrom(self._nodes[name])
            inputs = [stands_in.get((name, i), t) for i, t in self._data_inputs(name)]
            del node.input[:]
            node.input.extend(inputs)
        return graph

    def _data_inputs(self, name: str) -> Iterator[tuple[int, str]]:
        for index, tensor in enumerate(self._nodes[name].input):
            if not tensor.startswith("^"):
                yield index, tensor

    def _in_order(self) -> Iterator[str]:
        """Yield what the output depends on, each node behind its inputs."""
        seen: set[str] = set()
        waiting = [(self._output, False)]
        while waiting:
            name, is_ready = waiting.pop()
            if is_ready:
                yield name
            elif name not in seen:
                seen.add(name)
                waiting.append((name, True))
                waiting.extend((node_name(tensor), False) for _, tensor in self._data_inputs(name))


def _has_state(operation: str) -> bool:
    definition = op_def_registry.get(operation)
    return operation not in _READS and (definition is None or definition.is_stateful)


def _check_only_reads(graph: Any) -> None:
    """Raise ValueError where a variable may change, or is used in another way than by reading."""
    for node in graph.node:
        definition = op_def_registry.get(node.op)
        inputs = [] if definition is None else [each.type for each in definition.input_arg]
        if node.op not in _READS and tf.resource.as_datatype_enum in inputs:
            raise ValueError(f"{node.name} ({node.op}) does not only read a variable")


def _inlined(concrete: Any) -> Any:
    """Return the graph of a function with the functions that it calls put in their places."""
    graph = concrete.graph.as_graph_def()
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph, graph=concrete.graph)
    meta_graph.collection_def.clear()
    # By this name the optimizer looks for what has to stay.
    kept = meta_graph.collection_def["train_op"].node_list.value
    kept.extend(tensor.name for tensor in [*concrete.inputs, *concrete.outputs])
    config = tf.compat.v1.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    rewrites.min_graph_nodes = -1
    rewrites.optimizers.append("function")
    # Otherwise a function that reads variables stays a call; reads in another order are the same.
    rewrites.function_optimization = rewrites.AGGRESSIVE
    return tf_optimizer.OptimizeGraph(config, meta_graph)


def _tensor_name(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"
