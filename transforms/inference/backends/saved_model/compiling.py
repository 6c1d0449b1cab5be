"""Compile a loaded SavedModel: freeze its variables, rewrite its graph, hand it to a compiler."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from beamscope.transforms.inference.backends.base import Compiled, Embed
from beamscope.transforms.inference.backends.saved_model.freezing import (
    FrozenGraph,
    can_freeze,
    freeze,
    traced,
)
from beamscope.transforms.inference.backends.saved_model.group_means import shorten_group_means
from beamscope.transforms.inference.backends.saved_model.loading import SavedModel
from beamscope.transforms.inference.backends.saved_model.mixed_precision import lowered
from beamscope.transforms.inference.batches import embed_in_batches
from beamscope.transforms.inference.openvino_model import OpenVinoModel
from beamscope.transforms.storage.scratch import scratch_prefix

FROZEN = "variables frozen"
NOT_FROZEN = "variables not frozen: as constants they would exceed 2 GiB"
_TOO_LARGE = "the variables are too large to be constants (2 GiB)"


def with_openvino(loaded: SavedModel) -> Compiled:
    """Freeze a model and compile it with OpenVINO.

    Raises:
      ValueError: the model is too large, or has what ends the process in OpenVINO.
      Exception: whatever TensorFlow and OpenVINO raise.
    """
    images = loaded.spec.fixed_batch or 1
    concrete = traced(loaded, images)
    if not can_freeze(concrete):
        raise ValueError(_TOO_LARGE)
    frozen, _ = shorten_group_means(freeze(concrete, images))
    _check_for_openvino(frozen)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
        path = Path(folder) / "frozen.pb"
        path.write_bytes(frozen.graph.SerializeToString())
        model = OpenVinoModel(path, loaded.spec.features, loaded.spec.precision)
    return Compiled(model, FROZEN)


def with_xla(loaded: SavedModel) -> Compiled:
    """Compile a model with XLA, frozen where its variables can be constants."""
    return _by_tensorflow(loaded, jit=True)


def with_graph(loaded: SavedModel) -> Compiled:
    """Freeze a model where its variables can be constants, and rewrite its group norms."""
    return _by_tensorflow(loaded, jit=False)


def _by_tensorflow(loaded: SavedModel, *, jit: bool) -> Compiled:
    batch_size, precision = loaded.batch_size, loaded.spec.precision
    concrete = traced(loaded, batch_size)
    if not can_freeze(concrete):
        if precision != "float32":
            raise ValueError(_TOO_LARGE)
        call = tf.function(concrete, jit_compile=True) if jit else concrete
        return Compiled(_in_batches(call, batch_size, loaded.spec.features), NOT_FROZEN)
    frozen = freeze(concrete, batch_size)
    if not jit:
        frozen, _ = shorten_group_means(frozen)
    if precision != "float32":
        frozen = lowered(frozen, precision)
    constant = frozen.function()
    function = tf.function(constant, jit_compile=True) if jit else constant
    return Compiled(
        _in_batches(lambda pixels: function(pixels)[0], batch_size, loaded.spec.features), FROZEN
    )


def _in_batches(call: Callable[[Any], Any], batch_size: int, features: int) -> Embed:
    def embed_batch(batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return call(tf.constant(batch)).numpy()

    return lambda pixels: embed_in_batches(embed_batch, pixels, batch_size, features)


def _check_for_openvino(frozen: FrozenGraph) -> None:
    """Raise ValueError where OpenVINO would end the process: it aborts on constants of strings."""
    functions = [node for function in frozen.graph.library.function for node in function.node_def]
    for node in [*frozen.graph.node, *functions]:
        if node.op == "Const" and node.attr["dtype"].type == tf.string.as_datatype_enum:
            raise ValueError(f"the model computes with strings ({node.name})")
