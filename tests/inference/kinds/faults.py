"""Models whose answer for an image has to do with something else."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from tests.inference.kinds.nets import FEATURES, SIZE, Net, save, spec
from tests.inference.kinds.outputs import answering


def _normalised(net: Net, images: tf.Tensor) -> tf.Tensor:
    maps = net.map(images)
    mean, variance = tf.nn.moments(maps, [0, 1, 2])
    return tf.reduce_mean(tf.nn.relu((maps - mean) / tf.sqrt(variance + 1e-3)), [1, 2])


batch_norm = answering(_normalised)
batch_norm_of_four = answering(_normalised, spec(4, SIZE, SIZE, 3))
less_the_first = answering(lambda net, images: net.vector(images) - net.vector(images)[:1] * 0.5)
plus_those_before = answering(lambda net, images: tf.cumsum(net.vector(images)))
plus_those_after = answering(lambda net, images: tf.cumsum(net.vector(images), reverse=True))
largest_of_all = answering(
    lambda net, images: net.vector(images) / tf.reduce_max(tf.abs(net.vector(images)))
)
# Noise that is the same in each call, and another for each place in the batch.
by_place = answering(
    lambda net, images: (
        net.vector(images) + tf.random.stateless_normal([tf.shape(images)[0], FEATURES], [1, 2])
    )
)
turned_over = answering(lambda net, images: net.vector(images)[::-1])
dropout = answering(lambda net, images: tf.nn.dropout(net.vector(images), 0.2))
flips = answering(lambda net, images: net.vector(tf.image.random_flip_left_right(images)))
brightness = answering(lambda net, images: net.vector(tf.image.random_brightness(images, 0.2)))
crops = answering(
    lambda net, images: net.vector(tf.image.random_crop(images, [tf.shape(images)[0], 24, 24, 3]))
)
noise = answering(lambda net, images: net.vector(images + tf.random.normal(tf.shape(images))))


def generator(path: Path) -> None:
    """Draws from a generator whose state is a variable of the model."""
    save(
        path,
        lambda net, images: net.vector(images) + net.random.normal([FEATURES]),
        random=tf.random.Generator.from_seed(1),
    )


def counts_into_the_answer(path: Path) -> None:
    def answer(net: Net, images: tf.Tensor) -> tf.Tensor:
        return net.vector(images) + tf.cast(net.calls.assign_add(1), tf.float32)

    save(path, answer, calls=tf.Variable(0, dtype=tf.int64))


def counts_its_calls(path: Path) -> None:
    """Counts, and answers right."""

    def answer(net: Net, images: tf.Tensor) -> tf.Tensor:
        net.calls.assign_add(1)
        return net.vector(images)

    save(path, answer, calls=tf.Variable(0, dtype=tf.int64))


def drifts(path: Path) -> None:
    """Normalises by a running mean that each call moves a little, as in training."""

    def answer(net: Net, images: tf.Tensor) -> tf.Tensor:
        vectors = net.vector(images)
        moved = net.mean.assign(0.9999 * net.mean + 0.0001 * tf.reduce_mean(vectors, 0))
        return vectors - moved

    save(path, answer, mean=tf.Variable(tf.zeros(FEATURES)))


def keras_augmented(path: Path) -> None:
    keras = tf.keras
    keras.utils.set_random_seed(4)
    layers = keras.layers
    flip, drop = layers.RandomFlip("horizontal"), layers.Dropout(0.3)
    images = keras.Input((SIZE, SIZE, 3))
    inner = layers.Conv2D(FEATURES, 3, 2)(flip(images, training=True))
    answer = drop(layers.GlobalAveragePooling2D()(inner), training=True)
    keras.Model(images, answer).export(str(path), verbose=False)


def keras_batch_norm(path: Path) -> None:
    keras = tf.keras
    keras.utils.set_random_seed(5)
    layers = keras.layers
    images = keras.Input((SIZE, SIZE, 3))
    inner = layers.BatchNormalization()(layers.Conv2D(FEATURES, 3, 2)(images), training=True)
    answer = layers.GlobalAveragePooling2D()(layers.ReLU()(inner))
    keras.Model(images, answer).export(str(path), verbose=False)


def keras_for_inference(path: Path) -> None:
    """Dropout and batch normalisation, exported as they should be."""
    keras = tf.keras
    keras.utils.set_random_seed(6)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(FEATURES, 3, 2),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.3),
        ]
    )
    model.export(str(path), verbose=False)
