"""What comes from weights alone is computed once, by TensorFlow; OpenVINO reads the rest."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.inference.backends.saved_model.openvino_reading import read_function
from beamscope.transforms.inference.backends.saved_model.weight_folding import fold_weights
from beamscope.transforms.inference.openvino_model import import_openvino

ROWS = np.random.default_rng(9).normal(size=(2, 4)).astype(np.float32)
FIXED = np.random.default_rng(8).normal(size=(4, 4)).astype(np.float32)
Variables = list[tf.Variable]
Network = Callable[[tf.Tensor, Variables], tf.Tensor]


def function_of(network: Network) -> tuple[Any, Variables]:
    """The function, and what has to live as long as it."""
    draw = np.random.default_rng(1)
    variables = [tf.Variable(draw.normal(size=(4, 4)), dtype="float32", name="w") for _ in "abcd"]
    variables.append(tf.Variable(draw.normal(size=(4, 4)), dtype="bfloat16", name="w"))
    signature = [tf.TensorSpec([2, 4], tf.float32)]
    function = tf.function(lambda rows: network(rows, variables), input_signature=signature)
    return function.get_concrete_function(), variables


def products(rows: tf.Tensor, variables: Variables) -> tf.Tensor:
    for variable in variables[:4]:
        rows = rows @ variable + tf.reduce_mean(variable)
    return rows


def standardised(rows: tf.Tensor, variables: Variables) -> tf.Tensor:
    mean, variance = tf.nn.moments(variables[0], [0], keepdims=True)
    return rows @ ((variables[0] - mean) * tf.math.rsqrt(variance + 1e-5)) + variables[1][0]


def cast(rows: tf.Tensor, variables: Variables) -> tf.Tensor:
    return rows @ tf.cast(variables[4], tf.float32)


def captured(rows: tf.Tensor, variables: Variables) -> tf.Tensor:
    return rows @ GIVEN + variables[0][1]


def of_functions(rows: tf.Tensor, variables: Variables) -> tf.Tensor:
    kernel = tf.function(lambda variable: tf.nn.softmax(variable * 2))
    outer = tf.function(lambda rows: tf.nn.relu(rows @ kernel(variables[0])) + variables[1][0])
    return outer(outer(rows))


def at_positions(rows: tf.Tensor, variables: Variables) -> tf.Tensor:
    return rows * tf.gather(variables[0], [1, 0])


def of_no_weights(rows: tf.Tensor, variables: Variables) -> tf.Tensor:
    del variables
    return tf.nn.relu(rows)


GIVEN = tf.constant(FIXED)


@pytest.mark.parametrize(
    ("network", "weights"),
    [(products, 8), (standardised, 2), (cast, 1), (captured, 2), (of_functions, 4),
     (at_positions, 1), (of_no_weights, 0)],
)  # fmt: skip
def test_openvino_reads(network: Network, weights: int) -> None:
    concrete, variables = function_of(network)
    folded = fold_weights(concrete)
    assert len(folded.weights) == weights
    operations = {node.op for node in folded.graph.node}
    assert operations.isdisjoint({"ReadVariableOp", "Rsqrt", "Softmax", "PartitionedCall"})
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = import_openvino().compile_model(read_function(concrete), "CPU", exact)
    np.testing.assert_allclose(compiled([ROWS])[0], network(ROWS, variables), atol=1e-4)


def assigning(rows: tf.Tensor, variables: Variables) -> tf.Tensor:
    variables[0].assign_add(tf.ones([4, 4]))
    return rows @ variables[0]


def looked_up(rows: tf.Tensor, variables: Variables) -> tf.Tensor:
    return tf.raw_ops.ResourceGather(
        resource=variables[0].handle,
        indices=tf.cast(rows[:, 0] > 0, tf.int32),
        dtype=tf.float32,
    )


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (assigning, r"AssignAddVariableOp\) does not only read a variable"),
        (looked_up, "is resource, which cannot be a constant"),
    ],
)
def test_a_variable_that_is_not_only_read_is_an_error(network: Network, message: str) -> None:
    concrete, variables = function_of(network)
    with pytest.raises(ValueError, match=message):
        fold_weights(concrete)
    assert len(variables) == 5  # They live as long as somebody has them.


def test_chance_is_not_folded() -> None:
    concrete, variables = function_of(
        lambda rows, variables: rows @ (variables[0] + tf.random.normal([4, 4]))
    )
    folded = fold_weights(concrete)
    assert [value.numpy().tolist() for value in folded.weights.values()] == [
        variables[0].numpy().tolist()
    ]
    assert "RandomStandardNormal" in {node.op for node in folded.graph.node}
