"""Models by what they take."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from tests.inference.kinds.nets import IMAGES, SIZE, Net, save, save_signature, spec


def vectors(path: Path) -> None:
    save(path, Net.vector)


def of_dtype(dtype: tf.DType):
    def build(path: Path) -> None:
        save(path, Net.vector, spec(None, SIZE, SIZE, 3, dtype=dtype))

    return build


def channels_first(path: Path) -> None:
    save(
        path,
        lambda net, images: net.vector(tf.transpose(images, [0, 2, 3, 1])),
        spec(None, 3, SIZE, SIZE),
    )


def one_channel(path: Path) -> None:
    save(path, lambda net, images: net.vector(tf.repeat(images, 3, 3)), spec(None, SIZE, SIZE, 1))


def one_channel_first(path: Path) -> None:
    save(
        path,
        lambda net, images: net.vector(tf.transpose(tf.repeat(images, 3, 1), [0, 2, 3, 1])),
        spec(None, 1, SIZE, SIZE),
    )


def no_channels(path: Path) -> None:
    save(
        path,
        lambda net, images: net.vector(tf.repeat(images[..., None], 3, 3)),
        spec(None, SIZE, SIZE),
    )


def unknown_shape(path: Path) -> None:
    save(path, Net.vector, tf.TensorSpec(None, tf.float32))


def any_size(path: Path) -> None:
    save(path, Net.vector, spec(None, None, None, 3))


def in_a_dict(path: Path) -> None:
    save(path, lambda net, images: net.vector(images["pixels"]), {"pixels": IMAGES})


def batch_of_one(path: Path) -> None:
    save_signature(path, Net.vector, [spec(1, SIZE, SIZE, 3)], "serving_default")


def batch_of_four(path: Path) -> None:
    save(path, Net.vector, spec(4, SIZE, SIZE, 3))


def one_image(path: Path) -> None:
    """Takes no batch at all."""
    save(path, lambda net, image: net.vector(image[None])[0], spec(SIZE, SIZE, 3))


def flat_pixels(path: Path) -> None:
    save(
        path,
        lambda net, rows: net.vector(tf.reshape(rows, [-1, SIZE, SIZE, 3])),
        spec(None, SIZE * SIZE * 3),
    )


def video(path: Path) -> None:
    save(path, lambda net, clips: net.vector(clips[:, 0]), spec(None, 1, SIZE, SIZE, 3))


def four_channels(path: Path) -> None:
    save(path, lambda net, images: net.vector(images[..., :3]), spec(None, SIZE, SIZE, 4))


def encoded(path: Path) -> None:
    """Takes JPEG or PNG files, as models behind an HTTP server do."""

    def answer(net: Net, files: tf.Tensor) -> tf.Tensor:
        def decoded(file: tf.Tensor) -> tf.Tensor:
            return tf.reshape(tf.io.decode_png(file, channels=3), [SIZE, SIZE, 3])

        return net.vector(tf.map_fn(decoded, files, fn_output_signature=tf.uint8))

    save(path, answer, tf.TensorSpec([None], tf.string, name="image_bytes"))


def two_images(path: Path) -> None:
    save_signature(
        path,
        lambda net, left, right: net.vector(left) - net.vector(right),
        [
            tf.TensorSpec(IMAGES.shape, tf.float32, name="left"),
            tf.TensorSpec(IMAGES.shape, tf.float32, name="right"),
        ],
        "serving_default",
    )


def with_temperature(path: Path) -> None:
    """A signature has no defaults: nothing says what its further number should be."""
    save_signature(
        path,
        lambda net, images, temperature: net.vector(images) / temperature,
        [IMAGES, tf.TensorSpec([], tf.float32, name="temperature")],
        "serving_default",
    )


def with_training(path: Path) -> None:
    """A signature that is told whether it is being trained."""
    save_signature(
        path,
        lambda net, images, training: tf.cond(
            training, lambda: net.vector(images) * 0, lambda: net.vector(images)
        ),
        [IMAGES, tf.TensorSpec([], tf.bool, name="is_training")],
        "serving_default",
    )


class _Hub(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net()


def hub(path: Path) -> None:
    """An object with defaults, as the feature vectors of TensorFlow Hub."""

    class Module(_Hub):
        @tf.function(autograph=False)
        def __call__(self, inputs, training=False, momentum=0.5):
            answer = self.net.vector(inputs) + momentum
            return answer * 0 if training is True else answer

    module = Module()
    for training in (True, False):
        module.__call__.get_concrete_function(
            IMAGES, training, tf.TensorSpec([], tf.float32, name="momentum")
        )
    tf.saved_model.save(module, str(path))


def hub_beside(path: Path) -> None:
    """An object that wants a number without a default; the signature beside it wants none."""

    class Module(_Hub):
        @tf.function(autograph=False)
        def __call__(self, inputs, scale):
            return self.net.vector(inputs) * scale

    module = Module()
    module.__call__.get_concrete_function(IMAGES, tf.TensorSpec([], tf.float32, name="scale"))
    module.serve = tf.function(
        lambda inputs: {"default": module.net.vector(inputs)},
        input_signature=[IMAGES],
        autograph=False,
    )
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})
