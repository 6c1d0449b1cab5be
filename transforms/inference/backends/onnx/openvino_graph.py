"""An ONNX file as an OpenVINO graph from bytes to embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from beamscope.transforms.inference.input_shapes import ImageInput
from beamscope.transforms.inference.model_settings import ModelSpec
from beamscope.transforms.inference.openvino_model import import_openvino
from beamscope.transforms.inference.preprocessing import LUMA

if TYPE_CHECKING:
    import openvino


def embedding_graph(path: Path, spec: ModelSpec) -> openvino.Model:
    """Read a graph, and put the way from pixels before it and the pooling after it.

    Args:
      path: of the ONNX file; its weights are mapped, not copied.
      spec: how the model is called.

    Returns:
      a graph from uint8 RGB ``[images, size, size, 3]`` to float32 ``[images, D]``, where images
      is the number that the model is bound to, else 1.

    Raises:
      RuntimeError: OpenVINO cannot read the graph, or has not all of its operations.
      ValueError: it would end the process while it compiles the graph.
    """
    openvino = import_openvino()
    inner = openvino.Core().read_model(path)
    _check_attention(inner)
    (parameter,) = inner.get_parameters()
    taken = ImageInput(spec.input_layout, spec.input_channels, None, None, None)
    inner.reshape(taken.shape(spec.fixed_batch or 1, spec.input_size))
    shape = [spec.fixed_batch or 1, spec.input_size, spec.input_size, 3]
    pixels = _ops().parameter(shape, np.uint8, name="pixels")
    images = _prepared(pixels, spec, parameter.get_element_type())
    for target in parameter.output(0).get_target_inputs():
        target.replace_source_output(images.output(0))
    outputs = {port.get_any_name(): port for port in inner.outputs}
    answer = outputs[spec.output_key] if spec.output_key else inner.outputs[0]
    # What feeds the result: the result itself is not a value that others can take.
    source = answer.get_node().input(0).get_source_output()
    return openvino.Model([_pooled(source, spec)], [pixels], "embedding")


def _check_attention(graph: openvino.Model) -> None:
    """Raise ValueError for attention whose answer is added to the tokens without a projection.

    OpenVINO 2026.4 ends the process by a segmentation fault when it compiles that for one thread
    and a fixed number of tokens. No public model has it.
    """
    for operation in graph.get_ops():
        if operation.get_type_name() != "Softmax":
            continue
        mixed = [each for each in _readers(operation) if each.get_type_name() == "MatMul"]
        if any(each.get_type_name() == "Add" for one in mixed for each in _readers(one)):
            raise ValueError("its attention has no projection, and OpenVINO would crash")


def _readers(operation: Any) -> list[Any]:
    return [target.get_node() for target in operation.output(0).get_target_inputs()]


def _prepared(pixels: Any, spec: ModelSpec, kind: Any) -> Any:
    """Take pixels to the values, the layout and the element type of the model's input."""
    ops, arithmetic = _ops(), spec.pixel_map()
    images = pixels
    if arithmetic.channels is None:
        weighted = ops.multiply(ops.convert(images, "f32"), _constant(LUMA))
        images = ops.reduce_sum(weighted, _axes([3]), keep_dims=True)
        images = ops.round(images, "half_to_even") if arithmetic.integers else images
    elif arithmetic.reorders:
        images = ops.gather(images, _axes(arithmetic.channels), _axes(3))
    if not arithmetic.integers:
        images = ops.convert(images, "f32")
        if arithmetic.multiplies:
            images = ops.multiply(images, _constant(arithmetic.factor))
        if arithmetic.adds:
            images = ops.add(images, _constant(arithmetic.offset))
    if spec.input_channels == 0:
        images = ops.squeeze(images, _axes([3]))
    elif spec.input_layout == "channels_first":
        images = ops.transpose(images, _axes([0, 3, 1, 2]))
    return ops.convert(images, kind.get_type_name())


def _pooled(answer: Any, spec: ModelSpec) -> Any:
    """Take an output to float32 ``[images, D]``, as `output_shapes.pooled` does."""
    ops = _ops()
    rank = len(spec.output_shape) + 1
    output = ops.convert(answer, "f32")
    if spec.output_layout == "channels_first" and rank > 2:
        output = ops.transpose(output, _axes([0, *range(2, rank), 1]))
    if spec.pooling == "cls":
        return ops.gather(output, _axes(0), _axes(1))
    if spec.pooling in ("mean_patches", "cls_mean_patches"):
        last = spec.output_shape[0 if spec.output_layout == "channels_last" else -1]
        patches = ops.gather(output, _axes(range(spec.first_patch, last)), _axes(1))
        patches = ops.reduce_mean(patches, _axes([1]), keep_dims=False)
        if spec.pooling == "mean_patches":
            return patches
        first = ops.gather(output, _axes(0), _axes(1))
        return ops.concat([first, patches], 1)
    if spec.pooling == "mean":
        return ops.reduce_mean(output, _axes(range(1, rank - 1)), keep_dims=False)
    return ops.reshape(output, _axes([spec.fixed_batch or 1, spec.features]), special_zero=False)


def _ops() -> Any:
    from openvino import opset13

    return opset13


def _constant(values: Sequence[float]) -> Any:
    return _ops().constant(np.array(values, np.float32))


def _axes(values: int | Sequence[int]) -> Any:
    whole = values if isinstance(values, int) else list(values)
    return _ops().constant(np.array(whole, np.int64))
