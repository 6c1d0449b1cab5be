from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.inference.backends.saved_model.openvino_reading import read_function
from beamscope.transforms.inference.openvino_group_means import shorten_group_means
from beamscope.transforms.inference.openvino_model import import_openvino
from tests.inference.backends.saved_model import group_means_test as forms

Network = Callable[[tf.Tensor], tf.Tensor]
SHAPE = (2, 3, 5, 8)


def converted(network: Network, shape: tuple[int, ...] = SHAPE) -> Any:
    function = tf.function(network, input_signature=[tf.TensorSpec(shape, tf.float32)])
    return read_function(function.get_concrete_function())


def computed(model: Any, images: np.ndarray) -> np.ndarray:
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = import_openvino().Core().compile_model(model, "CPU", exact)
    return np.array(compiled(images)[0])


def after_convolution(network: Network) -> Network:
    """OpenVINO has the feature maps of a convolution with their channels first."""
    kernel = tf.constant(np.random.default_rng(3).normal(size=(3, 3, 8, 8)).astype(np.float32))
    return lambda x: network(tf.nn.conv2d(x, kernel, 1, "SAME"))


@pytest.mark.parametrize("centre", [0.0, 30.0])
@pytest.mark.parametrize("groups", [1, 4, 8])
@pytest.mark.parametrize("form", [forms.by_positions, forms.by_height_and_width])
def test_group_norm(form: Callable[[int], Network], groups: int, centre: float) -> None:
    model = converted(form(groups))
    assert shorten_group_means(model) == 2
    images = np.random.default_rng(0).normal(centre, 1, SHAPE).astype(np.float32)
    n, height, width, channels = SHAPE
    # By numpy in double precision, from the definition.
    grouped = images.astype(np.float64).reshape(n, height * width, groups, channels // groups)
    mean, variance = (f(grouped, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    wanted = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(SHAPE)
    # A variance near 0 magnifies the rounding of a mean of 30.
    np.testing.assert_allclose(computed(model, images), wanted, atol=2e-4 if centre == 0 else 2e-2)


def test_after_a_convolution_no_mean_walks_over_groups() -> None:
    network = after_convolution(forms.by_positions(4))
    model = converted(network)
    assert shorten_group_means(model) == 2
    means = [node for node in model.get_ops() if node.get_type_name() == "ReduceMean"]
    axes = Counter(tuple(node.input_value(1).get_node().get_data()) for node in means)
    assert axes == {(2, 3): 2, (2,): 2}
    images = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    np.testing.assert_allclose(
        computed(model, images), network(tf.constant(images)).numpy(), atol=1e-4
    )


@pytest.mark.parametrize(
    "network",
    [
        forms.whole,
        forms.of_the_batch_too,
        forms.of_the_groups,
        forms.of_other_positions,
        forms.of_doubles,
        forms.from_other_centres,
    ],
)
def test_other_means_stay(network: Network) -> None:
    model = converted(network, (2, 3, 3, 8))
    assert shorten_group_means(model) == 0
    images = np.random.default_rng(0).normal(0, 1, (2, 3, 3, 8)).astype(np.float32)
    np.testing.assert_allclose(
        computed(model, images), network(tf.constant(images)).numpy(), rtol=1e-5, atol=1e-6
    )
