from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.inference.backends.saved_model.freezing import FrozenGraph, freeze
from beamscope.transforms.inference.backends.saved_model.group_means import shorten_group_means

Network = Callable[[tf.Tensor], tf.Tensor]


def frozen(network: Network, shape: tuple[int, int, int, int]) -> FrozenGraph:
    function = tf.function(network, input_signature=[tf.TensorSpec(shape, tf.float32)])
    return freeze(function.get_concrete_function())


def moments(grouped: tf.Tensor, axes: list[int]) -> tf.Tensor:
    mean, variance = tf.nn.moments(grouped, axes, keepdims=True)
    return (grouped - mean) * tf.math.rsqrt(variance + 1e-5)


def by_positions(groups: int) -> Network:
    """As BiT has it: height and width in one axis."""

    def network(x: tf.Tensor) -> tf.Tensor:
        n, h, w, c = x.shape
        grouped = tf.reshape(x, [n, h * w, groups, c // groups])
        return tf.reshape(moments(grouped, [1, 3]), x.shape)

    return network


def by_height_and_width(groups: int) -> Network:
    """As Keras and TensorFlow Addons have it."""

    def network(x: tf.Tensor) -> tf.Tensor:
        n, h, w, c = x.shape
        grouped = tf.reshape(x, [n, h, w, groups, c // groups])
        return tf.reshape(moments(grouped, [1, 2, -1]), x.shape)

    return network


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    groups=st.integers(1, 4),
    size=st.integers(1, 4),
    form=st.sampled_from([by_positions, by_height_and_width]),
    centre=st.sampled_from([0.0, 30.0]),
)
def test_group_norm(
    shape: tuple[int, int, int],
    groups: int,
    size: int,
    form: Callable[[int], Network],
    centre: float,
) -> None:
    full = (*shape, groups * size)
    graph, rewritten = shorten_group_means(frozen(form(groups), full))
    assert rewritten == 2
    images = np.random.default_rng(0).normal(centre, 1, full).astype(np.float32)
    (normed,) = graph.function()(tf.constant(images))
    # By numpy in double precision, from the definition.
    grouped = images.astype(np.float64).reshape(shape[0], shape[1] * shape[2], groups, size)
    mean, variance = (f(grouped, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    wanted = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(full)
    # A variance near 0 magnifies the rounding of a mean of 30.
    np.testing.assert_allclose(normed.numpy(), wanted, atol=2e-4 if centre == 0 else 2e-2)


def test_nothing_is_left_of_the_slow_means() -> None:
    graph, _ = shorten_group_means(frozen(by_positions(4), (2, 3, 3, 8)))
    operations = Counter(node.op for node in graph.graph.node)
    assert operations["Mean"] == 4
    with tf.Graph().as_default() as g:
        tf.import_graph_def(graph.graph, name="")
    for operation in g.get_operations():
        if operation.type == "Mean":
            assert operation.inputs[1].op.node_def.attr["value"].tensor.int_val[:] in ([2], [])


def whole(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(x, [1, 2])


def of_the_batch_too(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.reshape(x, [2, 9, 4, 2]), [0, 1, 3])


def of_the_groups(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.reshape(x, [2, 9, 4, 2]), [1, 2])


def of_other_positions(x: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.reshape(x, [2, 18, 2, 2]), [1, 3])


def of_doubles(x: tf.Tensor) -> tf.Tensor:
    grouped = tf.reshape(tf.cast(x, tf.float64), [2, 9, 4, 2])
    return tf.cast(tf.reduce_mean(grouped, [1, 3]), tf.float32)


def from_other_centres(x: tf.Tensor) -> tf.Tensor:
    grouped = tf.reshape(x, [2, 9, 4, 2])
    centres = tf.reduce_max(grouped, [1, 2], keepdims=True)
    return tf.reduce_mean(tf.math.squared_difference(grouped, centres), [1, 3])


@pytest.mark.parametrize(
    "network",
    [whole, of_the_batch_too, of_the_groups, of_other_positions, of_doubles, from_other_centres],
)
def test_other_means_stay(network: Network) -> None:
    before = frozen(network, (2, 3, 3, 8))
    graph, rewritten = shorten_group_means(before)
    assert rewritten == 0
    images = tf.random.stateless_normal((2, 3, 3, 8), [1, 2])
    np.testing.assert_array_equal(graph.function()(images)[0], before.function()(images)[0])
