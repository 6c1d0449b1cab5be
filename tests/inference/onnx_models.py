"""Small ONNX models with random weights, and what onnxruntime itself answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIZE, FEATURES = 32, 24
TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "uint8": TensorProto.UINT8,
}
Shape = Sequence[int | str]


class Model:
    """A graph that grows node by node."""

    def __init__(self, shape: Shape = ("n", 3, SIZE, SIZE), dtype: str = "float32") -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.random = np.random.default_rng(5)
        self.dtype = dtype
        self.input = helper.make_tensor_value_info("pixels", TYPES[dtype], shape)
        self.outputs: list[Any] = []

    def constant(self, values: Any, dtype: str = "float32") -> str:
        array = np.asarray(values, dtype)
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, *shape: int, scale: float = 1.0) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        return self.constant(self.random.normal(0, scale / np.sqrt(fan_in), shape))

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, "int64")

    def output(self, value: str, name: str, shape: Shape, dtype: str = "float32") -> None:
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TYPES[dtype], shape))

    def save(self, path: Path, *, external: bool = False) -> str:
        """Write the model; with `external`, the weights to PATH.data beside it."""
        graph = helper.make_graph(self.nodes, "g", [self.input], self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        where = {"location": f"{path.name}.data", "size_threshold": 100} if external else {}
        onnx.save_model(model, str(path), save_as_external_data=external, **where)
        return str(path)


def scaled(model: Model) -> str:
    """Grey levels as float32 in [0, 1] where the input is uint8; else the input as float32."""
    images = model.add("Cast", "pixels", to=TYPES["float32"])
    if model.dtype == "uint8":
        return model.add("Div", images, model.constant(255.0))
    return images


def residual_features(model: Model, images: str) -> str:
    """A stem, a residual block and the mean over height and width: [n, FEATURES, 1, 1]."""
    stem = model.add(
        "Conv", images, model.weight(16, 3, 3, 3), model.weight(16), pads=[1] * 4, strides=[2, 2]
    )
    stem = model.add("Relu", stem)
    inner = model.add("Relu", model.add("Conv", stem, model.weight(16, 16, 3, 3), pads=[1] * 4))
    block = model.add("Relu", model.add("Add", stem, inner))
    last = model.add("Conv", block, model.weight(FEATURES, 16, 1, 1), strides=[2, 2])
    return model.add("GlobalAveragePool", last)


def cnn(
    path: Path, *, external: bool = False, shape: Shape = ("n", 3, SIZE, SIZE), dtype="float32"
) -> str:
    """A small ResNet: [n, FEATURES]."""
    model = Model(shape, dtype)
    images = scaled(model)
    if shape[-1] == 3:
        images = model.add("Transpose", images, perm=[0, 3, 1, 2])
    vectors = model.add("Flatten", residual_features(model, images))
    answered = "float32" if dtype == "uint8" else dtype
    vectors = model.add("Cast", vectors, to=TYPES[answered])
    model.output(vectors, "features", (shape[0], FEATURES), answered)
    return model.save(path, external=external)


def cnn_map(path: Path) -> str:
    """The same without the flattening: [n, FEATURES, 1, 1]."""
    model = Model()
    model.output(residual_features(model, "pixels"), "features", ("n", FEATURES, 1, 1))
    return model.save(path)


def vit(
    path: Path, *, external: bool = False, patch: int = 8, width: int = 32, projected: bool = True
) -> str:
    """One block of a ViT with two heads: [n, 1 + patches, width]."""
    model = Model()
    patches = model.add("Conv", "pixels", model.weight(width, 3, patch, patch), strides=[patch] * 2)
    tokens = model.add("Reshape", patches, model.ints(0, width, -1))
    tokens = model.add("Transpose", tokens, perm=[0, 2, 1])
    count = 1 + (SIZE // patch) ** 2
    batch = model.add("Shape", tokens, start=0, end=1)
    first = model.add("Concat", batch, model.ints(1, width), axis=0)
    first = model.add("Expand", model.weight(1, 1, width), first)
    tokens = model.add("Concat", first, tokens, axis=1)
    tokens = model.add("Add", tokens, model.weight(1, count, width))
    normal = _layer_norm(model, tokens, width)
    attend = _attention if projected else _attention_without_projection
    tokens = model.add("Add", tokens, attend(model, normal, count, width))
    normal = _layer_norm(model, tokens, width)
    hidden = model.add("Erf", model.add("MatMul", normal, model.weight(width, 2 * width)))
    tokens = model.add("Add", tokens, model.add("MatMul", hidden, model.weight(2 * width, width)))
    model.output(tokens, "tokens", ("n", count, width))
    return model.save(path, external=external)


def _attention(model: Model, normal: str, count: int, width: int, heads: int = 2) -> str:
    split = model.ints(0, count, heads, width // heads)

    def head(perm: list[int]) -> str:
        values = model.add("MatMul", normal, model.weight(width, width))
        return model.add("Transpose", model.add("Reshape", values, split), perm=perm)

    scores = model.add("MatMul", head([0, 2, 1, 3]), head([0, 2, 3, 1]))
    scores = model.add("Div", scores, model.constant(np.sqrt(width / heads)))
    mixed = model.add("MatMul", model.add("Softmax", scores, axis=-1), head([0, 2, 1, 3]))
    mixed = model.add("Transpose", mixed, perm=[0, 2, 1, 3])
    mixed = model.add("Reshape", mixed, model.ints(0, count, width))
    return model.add("MatMul", mixed, model.weight(width, width))


def _attention_without_projection(model: Model, normal: str, count: int, width: int) -> str:
    query, key, value = (model.add("MatMul", normal, model.weight(width, width)) for _ in range(3))
    scores = model.add("MatMul", query, model.add("Transpose", key, perm=[0, 2, 1]))
    scores = model.add("Div", scores, model.constant(np.sqrt(width)))
    return model.add("MatMul", model.add("Softmax", scores, axis=-1), value)


def _layer_norm(model: Model, tokens: str, width: int) -> str:
    scale, bias = model.constant(np.ones(width)), model.constant(np.zeros(width))
    return model.add("LayerNormalization", tokens, scale, bias, axis=-1)


def two_outputs(path: Path) -> str:
    model = Model()
    vectors = model.add("Flatten", residual_features(model, "pixels"))
    model.output(vectors, "embedding", ("n", FEATURES))
    model.output(model.add("MatMul", vectors, model.weight(FEATURES, 4)), "logits", ("n", 4))
    return model.save(path)


def dropout(path: Path) -> str:
    """Dropout in training mode: chance decides."""
    model = Model()
    vectors = model.add("Flatten", residual_features(model, "pixels"))
    vectors = model.add("Dropout", vectors, model.constant(0.5), model.constant(True, "bool"))
    model.output(vectors, "features", ("n", FEATURES))
    return model.save(path)


def noisy(path: Path) -> str:
    """Noise is added to the features."""
    model = Model()
    vectors = model.add("Flatten", residual_features(model, "pixels"))
    noise = model.add("RandomNormalLike", vectors, scale=1.0)
    model.output(model.add("Add", vectors, noise), "features", ("n", FEATURES))
    return model.save(path)


def constant(path: Path) -> str:
    """Weights of zero: the same answer for every image."""
    model = Model()
    vectors = model.add("Flatten", residual_features(model, "pixels"))
    zeros = model.add("Mul", vectors, model.constant(0.0))
    model.output(model.add("Add", zeros, model.weight(1, FEATURES)), "features", ("n", FEATURES))
    return model.save(path)


def over_the_batch(path: Path) -> str:
    """Features minus their mean over the batch, as batch normalisation in training mode."""
    model = Model()
    vectors = model.add("Flatten", residual_features(model, "pixels"))
    mean = model.add("ReduceMean", vectors, axes=[0], keepdims=1)
    half = model.add("Mul", mean, model.constant(0.5))
    model.output(model.add("Sub", vectors, half), "features", ("n", FEATURES))
    return model.save(path)


def one_row(path: Path) -> str:
    """One row for the whole batch."""
    model = Model()
    vectors = model.add("Flatten", residual_features(model, "pixels"))
    model.output(model.add("ReduceMean", vectors, axes=[0], keepdims=1), "features", (1, FEATURES))
    return model.save(path)


def called(path: str, images: np.ndarray, output: str | None = None) -> np.ndarray:
    """What onnxruntime answers to images as they are, in the model's own layout and values."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (answer,) = session.run([output or session.get_outputs()[0].name], {"pixels": images})
    return answer


def channels_first(pixels: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """uint8 [n, H, W, 3] as the models want it: [n, 3, H, W] in [0, 1]."""
    return (pixels.astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2).astype(dtype)
