"""The small network that the models of this folder share, and how they are saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

SIZE, FEATURES = 32, 12


def spec(*shape: int | None, dtype: tf.DType = tf.float32) -> tf.TensorSpec:
    return tf.TensorSpec(shape, dtype, name="images")


IMAGES = spec(None, SIZE, SIZE, 3)


class Net(tf.Module):
    """Two convolutions: a feature map of 8x8 for images of 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        random = np.random.default_rng(3)
        self.first = tf.Variable(random.normal(0, 0.3, (5, 5, 3, 6)).astype(np.float32))
        self.second = tf.Variable(random.normal(0, 0.3, (3, 3, 6, FEATURES)).astype(np.float32))
        self.bias = tf.Variable(random.normal(0, 0.3, FEATURES).astype(np.float32))

    def map(self, images: tf.Tensor) -> tf.Tensor:
        inner = tf.nn.relu(tf.nn.conv2d(tf.cast(images, tf.float32), self.first, 2, "SAME"))
        return tf.nn.conv2d(inner, self.second, 2, "SAME") + self.bias

    def vector(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(self.map(images), [1, 2])


Answer = Callable[[Net, Any], Any]


def save(path: Path, answer: Answer, taken: Any = IMAGES, **parts: Any) -> None:
    """Save a model that is called itself; `parts` are what it has beside the network."""
    net = Net()
    for name, part in parts.items():
        setattr(net, name, part)

    def call(images: Any) -> Any:
        return answer(net, images)

    net.__call__ = tf.function(call, input_signature=[taken], autograph=False)
    tf.saved_model.save(net, str(path))


def save_signature(
    path: Path, answer: Answer, taken: Sequence[tf.TensorSpec] = (IMAGES,), name: str = "serve"
) -> None:
    """Save a model that has a signature and cannot be called itself."""
    net = Net()

    def call(*images: Any) -> Any:
        return answer(net, *images)

    net.function = tf.function(call, input_signature=list(taken), autograph=False)
    tf.saved_model.save(net, str(path), signatures={name: net.function})
