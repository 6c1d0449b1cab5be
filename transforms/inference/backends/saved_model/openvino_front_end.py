"""Let OpenVINO read a function of TensorFlow, and nothing else change by it."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from beamscope.transforms.inference.openvino_model import import_openvino


def read_function(concrete: Any) -> Any:
    """Return a concrete function as an `openvino.Model` that shares the weights with it.

    Raises:
      Exception: of any kind where OpenVINO cannot read it.
    """
    openvino = import_openvino()
    if sys.version_info >= (3, 13):
        _mend_front_end()
    with _root_logger_restored(), _variables_found_at_once(concrete.graph):
        return openvino.convert_model(concrete, share_weights=True)


@contextlib.contextmanager
def _variables_found_at_once(graph: Any) -> Iterator[None]:
    """Let OpenVINO's front end look up the variables of a function, instead of searching them.

    It asks for each variable many times, and goes through all captures and all variables of the
    function each time: half a minute with BiT 152x2. Checked with OpenVINO 2026.4.
    """
    from openvino.frontend.tensorflow.node_decoder import TFGraphNodeDecoder

    search = TFGraphNodeDecoder.get_variable
    variables = {id(variable.handle): variable for variable in graph.variables}
    captured = {inner.name: outer for outer, inner in graph.captures}
    values: dict[int, Any] = {}

    def find(operation: Any) -> Any:
        if operation.graph is not graph:
            return search(operation)
        outer = captured.get(operation.outputs[0].name)
        if outer is None or outer.dtype.name != "resource":
            return outer
        if id(outer) not in values:
            # What is no variable is a table.
            variable = variables.get(id(outer))
            values[id(outer)] = None if variable is None else variable.read_value_no_copy()
        return values[id(outer)]

    TFGraphNodeDecoder.get_variable = staticmethod(find)
    try:
        yield
    finally:
        TFGraphNodeDecoder.get_variable = staticmethod(search)


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
    from openvino.frontend.tensorflow import utils

    utils.get_environment_setup = lambda _: {"tensorflow": tf.__version__}
