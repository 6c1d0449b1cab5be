"""Means over groups of channels, taken in an order that is several times as fast.

A group norm is mostly written as ``tf.nn.moments`` of the images reshaped to
``[n, height * width, groups, channels of a group]``, over positions and channels of a group at
once. Runtimes walk that axis order a few values at a time, which takes as long as all the
convolutions together. The mean of a group is also the mean of its channels' means, and those are
sums over whole rows of memory, which vectorise.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from beamscope.transforms.inference.backends.saved_model.freezing import (
    FrozenGraph,
    node_name,
    pruned,
)

_FLOAT = tf.float32.as_datatype_enum
_INT = tf.int32.as_datatype_enum


def shorten_group_means(frozen: FrozenGraph) -> tuple[FrozenGraph, int]:
    """Rewrite the means and variances of group norms.

    Rewritten is a ``Mean`` over all but the batch and the groups, of float32 feature maps
    ``[n, height, width, channels]`` that were reshaped to ``[n, positions..., groups, size]``, or
    of their squared difference from a value a group. All else stays as it is.

    Returns:
      the graph, and the number of means that were rewritten.
    """
    return _Rewriter(frozen).rewrite()


@dataclasses.dataclass(frozen=True)
class _Grouped:
    """The operands of a mean: feature maps, and the centres that are subtracted first."""

    maps: str
    shape: list[int]
    groups: int
    centres: str | None


class _Rewriter:
    def __init__(self, frozen: FrozenGraph) -> None:
        self.frozen = frozen
        self.graph = tf.compat.v1.GraphDef()
        self.graph.CopyFrom(frozen.graph)
        self.nodes = {node.name: node for node in self.graph.node}
        with tf.Graph().as_default() as shapes:
            tf.import_graph_def(frozen.graph, name="")
        self.shapes = shapes

    def rewrite(self) -> tuple[FrozenGraph, int]:
        means = [node for node in list(self.graph.node) if node.op == "Mean"]
        rewritten = 0
        for mean in means:
            grouped = self._grouped(mean)
            if grouped is not None:
                self._replace(mean, grouped)
                rewritten += 1
        return pruned(dataclasses.replace(self.frozen, graph=self.graph)), rewritten

    def _grouped(self, mean: Any) -> _Grouped | None:
        axes = tf.get_static_value(self._tensor(mean.input[1]))
        source, centres = mean.input[0], None
        if self._node(source).op == "SquaredDifference":
            source, centres = self._node(source).input[:2]
        reshape = self._node(source)
        if axes is None or reshape.op != "Reshape" or mean.attr["T"].type != _FLOAT:
            return None
        grouped, maps = self._shape(source), self._shape(reshape.input[0])
        if grouped is None or maps is None or len(maps) != 4 or len(grouped) not in (4, 5):
            return None
        *positions, groups, size = grouped[1:]
        last = len(grouped) - 1
        reduced = sorted(int(axis) % len(grouped) for axis in np.atleast_1d(axes))
        if (
            grouped[0] != maps[0]
            or math.prod(positions) != maps[1] * maps[2]
            or groups * size != maps[3]
            or reduced != [*range(1, last - 1), last]
        ):
            return None
        if centres is not None and self._shape(centres) != [
            grouped[0],
            *[1] * len(positions),
            groups,
            1,
        ]:
            return None
        return _Grouped(reshape.input[0], maps, groups, centres)

    def _replace(self, mean: Any, grouped: _Grouped) -> None:
        n, _, _, channels = grouped.shape
        by_group = [n, grouped.groups, channels // grouped.groups]
        name, maps = mean.name, grouped.maps
        if grouped.centres is not None:
            centres = self._reshape(f"{name}/centres", grouped.centres, [*by_group[:2], 1])
            shape = self._constant(f"{name}/by_group", by_group)
            spread = self._add(f"{name}/spread", "BroadcastTo", [centres, shape], Tidx=_INT)
            spread = self._reshape(f"{name}/by_channel", spread, [n, 1, 1, channels])
            maps = self._add(f"{name}/squares", "SquaredDifference", [maps, spread])
        means = self._mean(f"{name}/channels", maps, [1, 2])
        means = self._reshape(f"{name}/grouped", means, by_group)
        means = self._mean(f"{name}/groups", means, [2])
        result = self._shape(f"{name}:0")
        # Under its old name, by which the rest of the graph finds it.
        self.graph.node.remove(mean)
        self._reshape(name, means, result)

    def _node(self, tensor: str) -> Any:
        return self.nodes[node_name(tensor.removeprefix("^"))]

    def _tensor(self, name: str) -> Any:
        return self.shapes.get_tensor_by_name(name if ":" in name else f"{name}:0")

    def _shape(self, name: str) -> list[int] | None:
        shape = self._tensor(name).shape
        return shape.as_list() if shape.is_fully_defined() else None

    def _mean(self, name: str, tensor: str, axes: list[int]) -> str:
        constant = self._constant(f"{name}/axes", axes)
        return self._add(name, "Mean", [tensor, constant], Tidx=_INT)

    def _reshape(self, name: str, tensor: str, shape: list[int] | None) -> str:
        constant = self._constant(f"{name}/shape", shape)
        return self._add(name, "Reshape", [tensor, constant], Tshape=_INT)

    def _constant(self, name: str, values: Any) -> str:
        node = self.graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = _INT
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values, tf.int32))
        return name

    def _add(self, name: str, op: str, inputs: list[str], **types: int) -> str:
        node = self.graph.node.add(name=name, op=op, input=inputs)
        for attribute, dtype in {"T": _FLOAT, **types}.items():
            node.attr[attribute].type = dtype
        return name
