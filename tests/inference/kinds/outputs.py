"""Models by what they answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.inference.kinds.nets import FEATURES, IMAGES, SIZE, Net, save, spec

Build = Callable[[Path], None]


def answering(answer: Callable[[Net, tf.Tensor], Any], taken: tf.TensorSpec = IMAGES) -> Build:
    return lambda path: save(path, answer, taken)


def first(net: Net, images: tf.Tensor) -> tf.Tensor:
    return tf.transpose(net.map(images), [0, 3, 1, 2])


maps = answering(Net.map)
maps_first = answering(first)
# As many positions in a row as features: the shape does not tell which axis is which.
cube = answering(lambda net, images: net.map(images)[..., :8])
cube_first = answering(lambda net, images: first(net, images)[:, :8])
ANY_SIZE = spec(None, None, None, 3)
cube_of_any_size = answering(lambda net, images: net.map(images)[..., :8], ANY_SIZE)
cube_first_of_any_size = answering(lambda net, images: first(net, images)[:, :8], ANY_SIZE)
one_by_one = answering(lambda net, images: net.vector(images)[:, None, None])
one_by_one_first = answering(lambda net, images: net.vector(images)[:, :, None, None])


def tokens(extra: int) -> Build:
    """64 patches after as many tokens of another kind."""

    def answer(net: Net, images: tf.Tensor) -> tf.Tensor:
        patches = tf.reshape(net.map(images), [-1, 64, FEATURES])
        others = [net.vector(images) * (2 + index) for index in range(extra)]
        return tf.concat([*(other[:, None] for other in others), patches], axis=1)

    return answering(answer)


tokens_first = answering(
    lambda net, images: tf.transpose(tf.reshape(net.map(images), [-1, 64, FEATURES]), [0, 2, 1])
)
one_token = answering(lambda net, images: net.vector(images)[:, None])
hugging_face = answering(
    lambda net, images: {
        "last_hidden_state": tf.reshape(net.map(images), [-1, 64, FEATURES]),
        "pooler_output": net.vector(images),
    }
)
nested = answering(lambda net, images: {"features": {"final": net.vector(images)}})
in_a_list = answering(lambda net, images: [net.vector(images)])
one_number = answering(lambda net, images: net.vector(images)[:, :1])


def cast(dtype: tf.DType) -> Build:
    return answering(lambda net, images: tf.cast(net.vector(images), dtype))


scalars = answering(lambda net, images: net.vector(images)[:, 0])
no_batch = answering(lambda net, images: tf.reduce_mean(net.vector(images), 0))
one_row = answering(lambda net, images: tf.reduce_mean(net.vector(images), 0, keepdims=True))
joined = answering(lambda net, images: tf.reshape(net.vector(images), [1, -1]))
rows_of_patches = answering(lambda net, images: tf.reshape(net.map(images), [-1, FEATURES]))
five_axes = answering(lambda net, images: net.map(images)[:, None])
no_features = answering(lambda net, images: net.vector(images)[:, :0])
strings = answering(lambda net, images: tf.strings.as_string(net.vector(images)))
nothing = answering(lambda net, images: None)
ragged = answering(lambda net, images: tf.RaggedTensor.from_tensor(net.vector(images)))
sparse = answering(lambda net, images: tf.sparse.from_dense(net.vector(images)))
never_finite = answering(lambda net, images: net.vector(images) / 0.0)
classes = answering(lambda net, images: tf.argmax(net.vector(images), axis=1))
zeros = answering(lambda net, images: net.vector(images) * 0)
the_same = answering(lambda net, images: net.vector(images) * 0 + net.bias)
saturated = answering(lambda net, images: tf.sigmoid(net.vector(images) * 0 + 100))
small_beside_large = answering(lambda net, images: net.vector(images) * 1e-3 + 100)
only_this_size = answering(
    lambda net, images: net.vector(tf.ensure_shape(images, [None, SIZE, SIZE, 3])),
    spec(None, None, None, 3),
)
