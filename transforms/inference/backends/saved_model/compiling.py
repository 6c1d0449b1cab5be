"""Compile a loaded SavedModel: freeze its variables, rewrite its graph, hand it to a compiler."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from beamscope.transforms.inference.backends.base import Compiled, Embed
from beamscope.transforms.inference.backends.saved_model.freezing import (
    can_freeze,
    freeze,
    traced,
    variable_bytes,
)
from beamscope.transforms.inference.backends.saved_model.group_means import shorten_group_means
from beamscope.transforms.inference.backends.saved_model.loading import SavedModel
from beamscope.transforms.inference.backends.saved_model.mixed_precision import lowered
from beamscope.transforms.inference.batches import embed_in_batches
from beamscope.transforms.inference.model_memory import Way, lacking
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
    images = loaded.spec.fixed_batch or 1
    concrete = traced(loaded, images)
    check_for_openvino(concrete)
    _check_memory("openvino", concrete)
    try:
        write_graph(concrete, folder / "model.xml")
    # Front ends raise anything; TensorFlow's own freezing may still do.
    except Exception as error:  # noqa: BLE001
        for name in ("model.xml", "model.bin"):
            (folder / name).unlink(missing_ok=True)
        _write_frozen(concrete, images, folder / "frozen.pb")
        return f"{FROZEN} by TensorFlow, because OpenVINO cannot read it: {one_line(error)}"
    return FROZEN


def write_graph(concrete: Any, path: Path) -> None:
    """Write a function from `traced` as OpenVINO's own files, an .xml and a .bin beside it.

    Weights that are computed from weights (standardised convolutions, folded norms) are computed
    once, here, and the variables are not copied before.
    """
    openvino = import_openvino()
    if sys.version_info >= (3, 13):
        _mend_front_end()
    with _root_logger_restored():
        model = openvino.convert_model(concrete, share_weights=True)
    shorten_means_in_openvino(model)
    # Its default is float16.
    openvino.save_model(model, path, compress_to_fp16=False)


@contextlib.contextmanager
def _root_logger_restored() -> Iterator[None]:
    """Undo what OpenVINO's front end does to the root logger: an error leaves it at level ERROR.

    Our own warnings would then be lost, such as the one that says why OpenVINO is not used.
    """
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


def _mend_front_end() -> None:
    """Let OpenVINO's front end know the version of TensorFlow on Python 3.13.

    It imports and deletes a local name by two calls of `exec`, which there no longer share local
    names (PEP 667), and then raises NameError. Checked with OpenVINO 2026.4.
    """
    from openvino.frontend.tensorflow import utils  # type: ignore[import-untyped]

    utils.get_environment_setup = lambda framework: {framework: None, "tensorflow": tf.__version__}


def _write_frozen(concrete: Any, images: int, path: Path) -> None:
    if not can_freeze(concrete):
        raise ValueError(_TOO_LARGE)
    _check_memory("freeze", concrete)
    frozen, _ = shorten_group_means(freeze(concrete, images))
    path.write_bytes(frozen.graph.SerializeToString())


def with_xla(loaded: SavedModel) -> Compiled:
    """Compile a model with XLA, frozen where its variables can be constants."""
    return _by_tensorflow(loaded, jit=True)


def with_graph(loaded: SavedModel) -> Compiled:
    """Freeze a model where its variables can be constants, and rewrite its group norms."""
    return _by_tensorflow(loaded, jit=False)


def _by_tensorflow(loaded: SavedModel, *, jit: bool) -> Compiled:
    batch_size, precision = loaded.batch_size, loaded.spec.precision
    concrete = traced(loaded, batch_size)
    lacks = lacking("xla frozen" if jit else "freeze", variable_bytes(concrete))
    if not can_freeze(concrete) or lacks is not None:
        if precision != "float32":
            raise ValueError(lacks or _TOO_LARGE)
        _check_memory("xla", concrete)
        detail = f"variables not frozen: {lacks}" if can_freeze(concrete) else NOT_FROZEN
        call = tf.function(concrete, jit_compile=True) if jit else concrete
        return Compiled(_in_batches(call, batch_size, loaded.spec.features), detail)
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


def _check_memory(way: Way, concrete: Any) -> None:
    """Raise ValueError where a way would take more memory than is left."""
    lacks = lacking(way, variable_bytes(concrete))
    if lacks is not None:
        raise ValueError(lacks)


def check_for_openvino(concrete: Any) -> None:
    """Raise ValueError where OpenVINO would end the process: it aborts on constants of strings.

    Args:
      concrete: a function from `traced`; its variables become constants too.
    """
    graph = concrete.graph.as_graph_def()
    functions = [node for function in graph.library.function for node in function.node_def]
    names = [variable.name for variable in concrete.variables if variable.dtype == tf.string]
    for node in [*graph.node, *functions]:
        if node.op == "Const" and node.attr["dtype"].type == tf.string.as_datatype_enum:
            names.append(node.name)
    if names:
        raise ValueError(f"the model computes with strings ({names[0]})")
