"""Compile a loaded SavedModel: freeze its variables, rewrite its graph, hand it to a compiler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from beamscope.transforms.inference.backends.base import Compiled, Embed
from beamscope.transforms.inference.backends.saved_model.freezing import (
    can_freeze,
    freeze,
    variable_bytes,
)
from beamscope.transforms.inference.backends.saved_model.group_means import shorten_group_means
from beamscope.transforms.inference.backends.saved_model.loading import SavedModel
from beamscope.transforms.inference.backends.saved_model.mixed_precision import lowered
from beamscope.transforms.inference.backends.saved_model.openvino_reading import read_function
from beamscope.transforms.inference.batches import embed_in_batches
from beamscope.transforms.inference.model_memory import LackingMemoryError, Way, lacking
from beamscope.transforms.inference.openvino_group_means import (
    shorten_group_means as shorten_means_in_openvino,
)
from beamscope.transforms.inference.openvino_model import import_openvino
from beamscope.transforms.problems import one_line

FROZEN = "variables frozen"
NOT_FROZEN = "variables not frozen: as constants they would exceed 2 GiB"
_TOO_LARGE = "the variables are too large to be constants (2 GiB)"


def write_for_openvino(loaded: SavedModel, folder: Path) -> str:
    """Write a model as files for OpenVINO, whose front end reads the variables where they are.

    Where the front end cannot read the graph, TensorFlow freezes it first, which takes several
    times as much memory.

    Args:
      loaded: the model.
      folder: gets ``model.xml`` and ``model.bin``, or ``frozen.pb``.

    Returns:
      how the variables were frozen.

    Raises:
      ValueError: the model has what ends the process in OpenVINO, or is too large to be frozen.
      Exception: whatever TensorFlow and OpenVINO raise.
    """
    concrete = loaded.alone
    check_for_openvino(concrete)
    _check_memory("openvino", concrete)
    try:
        write_graph(concrete, folder / "model.xml")
    # Front ends raise anything; TensorFlow's own freezing may still do.
    except Exception as error:  # noqa: BLE001
        for name in ("model.xml", "model.bin"):
            (folder / name).unlink(missing_ok=True)
        _write_frozen(concrete, folder / "frozen.pb")
        return f"{FROZEN} by TensorFlow, because OpenVINO cannot read it: {one_line(error)}"
    return FROZEN


def write_graph(concrete: Any, path: Path) -> None:
    """Write what `read_function` reads as OpenVINO's own files, an .xml and a .bin beside it."""
    openvino = import_openvino()
    model = read_function(concrete)
    shorten_means_in_openvino(model)
    # Its default is float16.
    openvino.save_model(model, path, compress_to_fp16=False)


def _write_frozen(concrete: Any, path: Path) -> None:
    if not can_freeze(concrete):
        raise ValueError(_TOO_LARGE)
    _check_memory("freeze", concrete)
    frozen, _ = shorten_group_means(freeze(concrete))
    path.write_bytes(frozen.graph.SerializeToString())


def with_xla(loaded: SavedModel) -> Compiled:
    """Compile a model with XLA, frozen where its variables can be constants."""
    return _by_tensorflow(loaded, jit=True)


def with_graph(loaded: SavedModel) -> Compiled:
    """Freeze a model where its variables can be constants, and rewrite its group norms."""
    return _by_tensorflow(loaded, jit=False)


def _by_tensorflow(loaded: SavedModel, *, jit: bool) -> Compiled:
    batch_size, precision = loaded.batch_size, loaded.spec.precision
    concrete = loaded.traced(batch_size)
    lacks = lacking("xla frozen" if jit else "freeze", variable_bytes(concrete))
    if not can_freeze(concrete) or lacks is not None:
        if precision != "float32":
            raise LackingMemoryError(lacks) if lacks is not None else ValueError(_TOO_LARGE)
        _check_memory("xla", concrete)
        detail = f"variables not frozen: {lacks}" if can_freeze(concrete) else NOT_FROZEN
        call = tf.function(concrete, jit_compile=True) if jit else concrete
        return Compiled(_in_batches(call, batch_size, loaded.spec.features), detail)
    frozen = freeze(concrete)
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


def _check_memory(way: Way, concrete: Any) -> None:
    """Raise LackingMemoryError where a way would take more memory than is left."""
    lacks = lacking(way, variable_bytes(concrete))
    if lacks is not None:
        raise LackingMemoryError(lacks)


def check_for_openvino(concrete: Any) -> None:
    """Raise ValueError where OpenVINO would end the process: it aborts on constants of strings.

    Args:
      concrete: a function from `SavedModel.traced`; its variables become constants too.
    """
    graph = concrete.graph.as_graph_def()
    functions = [node for function in graph.library.function for node in function.node_def]
    names = [variable.name for variable in concrete.variables if variable.dtype == tf.string]
    for node in [*graph.node, *functions]:
        if node.op == "Const" and node.attr["dtype"].type == tf.string.as_datatype_enum:
            names.append(node.name)
    if names:
        raise ValueError(f"the model computes with strings ({names[0]})")
