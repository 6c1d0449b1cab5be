"""OpenVINO reads a function of TensorFlow with its variables, each of them once."""

import collections

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

from beamscope.transforms.inference.backends.saved_model.openvino_front_end import read_function
from beamscope.transforms.inference.openvino_model import import_openvino

WEIGHTS = [np.random.default_rng(i).normal(size=(4, 4)).astype(np.float32) for i in range(6)]


def function_of(call) -> tuple[object, list[tf.Variable]]:
    variables = [tf.Variable(weights, name="same_name") for weights in WEIGHTS]
    signature = [tf.TensorSpec([2, 4], tf.float32)]
    function = tf.function(lambda rows: call(rows, variables), input_signature=signature)
    return function.get_concrete_function(), variables


def products(rows, variables):
    for variable in variables:
        rows = tf.linalg.matmul(rows, variable) + tf.reduce_mean(variable)
    return rows


def expected(rows: np.ndarray) -> np.ndarray:
    for weights in WEIGHTS:
        rows = rows @ weights + weights.mean()
    return rows


def test_each_variable_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: collections.Counter[int] = collections.Counter()
    read = BaseResourceVariable.read_value_no_copy

    def counted(self):
        reads[id(self)] += 1
        return read(self)

    monkeypatch.setattr(BaseResourceVariable, "read_value_no_copy", counted)
    concrete, variables = function_of(products)
    graph = read_function(concrete)
    assert reads == {id(variable): 1 for variable in variables}
    rows = np.random.default_rng(9).normal(size=(2, 4)).astype(np.float32)
    compiled = import_openvino().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled([rows])[0], expected(rows), rtol=1e-4, atol=1e-4)


def test_captured_tensors_are_read_too() -> None:
    given = tf.constant(WEIGHTS[0])
    concrete, kept = function_of(lambda rows, variables: rows @ given + variables[1][0])
    compiled = import_openvino().compile_model(read_function(concrete), "CPU")
    rows = np.eye(2, 4, dtype=np.float32)
    found = compiled([rows])[0]
    np.testing.assert_allclose(found, rows @ WEIGHTS[0] + kept[1][0], rtol=1e-2, atol=1e-2)


def test_the_front_end_is_as_before_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = import_openvino()
    from openvino.frontend.tensorflow.node_decoder import TFGraphNodeDecoder

    before = TFGraphNodeDecoder.get_variable
    concrete, variables = function_of(products)
    read_function(concrete)
    assert TFGraphNodeDecoder.get_variable is before

    def fails(*_, **__):
        assert TFGraphNodeDecoder.get_variable is not before
        raise RuntimeError("cannot be read")

    monkeypatch.setattr(openvino, "convert_model", fails)
    with pytest.raises(RuntimeError, match="cannot be read"):
        read_function(concrete)
    assert TFGraphNodeDecoder.get_variable is before
    assert len(variables) == len(WEIGHTS)  # They live as long as somebody has them.
