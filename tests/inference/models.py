"""Tiny SavedModels, one for each kind of call, and their results computed with numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

SIZE = 16
FEATURES = 5
KERNEL = np.random.default_rng(7).normal(size=(3, FEATURES)).astype(np.float32)

INPUT = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, name="images")
ANY_SIZE = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")


def expected(pixels: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """What each of the models answers: the mean colour in its range, times `KERNEL`."""
    images = low + pixels.astype(np.float64) / 255 * (high - low)
    return images.mean(axis=(1, 2)) @ KERNEL


class Network(tf.Module):
    """The weights, and the computations that the models below are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(KERNEL)

    def features(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.cast(images, tf.float32), [1, 2]) @ self.kernel

    def feature_map(self, images: tf.Tensor) -> tf.Tensor:
        return tf.nn.avg_pool2d(images, 4, 4, "VALID") @ self.kernel


def save(
    directory: Path,
    call: Callable[[Network, Any], Any] | None = None,
    *,
    spec: tf.TensorSpec = INPUT,
    signatures: dict[str, tuple[Callable[[Network, Any], Any], tf.TensorSpec]] | None = None,
) -> str:
    """Saves a model whose object answers `call`, where given, with the named signatures."""
    network = Network()
    if call is not None:
        network.__call__ = tf.function(lambda images: call(network, images), input_signature=[spec])
    functions = {}
    for name, (answer, answer_spec) in (signatures or {}).items():
        traced = tf.function(
            lambda images, answer=answer: answer(network, images), input_signature=[answer_spec]
        )
        functions[name] = traced.get_concrete_function()
    tf.saved_model.save(network, str(directory), signatures=functions)
    return str(directory)


def vectors(network: Network, images: tf.Tensor) -> tf.Tensor:
    return network.features(images)


def named(network: Network, images: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"embedding": network.features(images)}


def several(network: Network, images: tf.Tensor) -> dict[str, tf.Tensor]:
    features = network.features(images)
    return {"embedding": features, "logits": features[:, :2]}


def feature_map(network: Network, images: tf.Tensor) -> tf.Tensor:
    return network.feature_map(images)


def normalized(network: Network, images: tf.Tensor) -> tf.Tensor:
    """NaN for a black image: it has no direction."""
    features = network.features(images)
    return features / tf.norm(features, axis=1, keepdims=True)


def noisy(network: Network, images: tf.Tensor) -> tf.Tensor:
    features = network.features(images)
    return features + tf.random.normal(tf.shape(features))


def through_strings(network: Network, images: tf.Tensor) -> tf.Tensor:
    """What XLA cannot compile: it has no strings."""
    return tf.strings.to_number(tf.strings.as_string(network.features(images), precision=9))


def failing(network: Network, images: tf.Tensor) -> tf.Tensor:
    tf.debugging.assert_less(images, 0.0, message="images have to be negative")
    return network.features(images)


class InTrainingOrNot(tf.Module):
    """A Keras-like model: traced in training (where it answers zeros) first, and out of it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()

    @tf.function
    def __call__(self, inputs: tf.Tensor, training: bool = False, mask: Any = None) -> tf.Tensor:
        features = self.network.features(inputs)
        return features * 0 if training else features

    def save(self, directory: Path) -> str:
        for training in (True, False):
            self.__call__.get_concrete_function(INPUT, training=training)
        tf.saved_model.save(self, str(directory))
        return str(directory)


class ByDtype(tf.Module):
    """Takes floats in [0, 1], and grey levels as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()

    @tf.function
    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        scaled = tf.cast(images, tf.float32) / 255 if images.dtype == tf.uint8 else images
        return self.network.features(scaled)

    def save(self, directory: Path) -> str:
        for dtype in (tf.float32, tf.uint8):
            self.__call__.get_concrete_function(tf.TensorSpec(INPUT.shape, dtype))
        tf.saved_model.save(self, str(directory))
        return str(directory)


class TwoSizes(tf.Module):
    """Traced for images of 16 and of 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()

    @tf.function
    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        return self.network.features(images)

    def save(self, directory: Path) -> str:
        for size in (16, 32):
            self.__call__.get_concrete_function(tf.TensorSpec([None, size, size, 3], tf.float32))
        tf.saved_model.save(self, str(directory))
        return str(directory)


def noise(n: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """uint8 images ``[n, size, size, 3]`` of different brightness."""
    random = np.random.default_rng(seed)
    top = random.integers(1, 256, (n, 1, 1, 3))
    return (random.random((n, size, size, 3)) * top).astype(np.uint8)
