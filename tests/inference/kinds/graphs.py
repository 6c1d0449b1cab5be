"""Models with what compilers cannot do, or what only the machine that saved them has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.inference.kinds.nets import FEATURES, SIZE, Net, save, spec
from tests.inference.kinds.outputs import answering


def table_of_an_asset(path: Path) -> None:
    text = path.with_suffix(".txt")
    text.write_text("0 3.5\n1 0.25\n")
    initializer = tf.lookup.TextFileInitializer(
        str(text), tf.int64, 0, tf.float32, 1, delimiter=" "
    )
    table = tf.lookup.StaticHashTable(initializer, -1.0)

    def answer(net: Net, images: tf.Tensor) -> tf.Tensor:
        factor, offset = (net.table.lookup(tf.constant(key, tf.int64)) for key in (0, 1))
        return net.vector(images) * factor + offset

    save(path, answer, table=table)
    text.unlink()  # The copy in the SavedModel has to be enough.


def table_of_constants(path: Path) -> None:
    initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(["scale"]), tf.constant([2.5]))
    table = tf.lookup.StaticHashTable(initializer, -1.0)
    save(
        path,
        lambda net, images: net.vector(images) * net.table.lookup(tf.constant("scale")),
        table=table,
    )


def variable_of_any_length(path: Path) -> None:
    matrix = tf.Variable(np.eye(FEATURES, dtype=np.float32) * 2, shape=[None, FEATURES])
    save(path, lambda net, images: net.vector(images) @ net.matrix, matrix=matrix)


def variable_of_any_shape(path: Path) -> None:
    matrix = tf.Variable(np.eye(FEATURES, dtype=np.float32) * 2, shape=tf.TensorShape(None))

    def answer(net: Net, images: tf.Tensor) -> tf.Tensor:
        return net.vector(images) @ tf.reshape(net.matrix, [FEATURES, FEATURES])

    save(path, answer, matrix=matrix)


def variable_of_strings(path: Path) -> None:
    save(
        path,
        lambda net, images: (
            net.vector(images) + tf.cast(tf.strings.length(net.words[1]), tf.float32)
        ),
        words=tf.Variable(["a", "bcd"]),
    )


def half_variables(path: Path) -> None:
    matrix = tf.Variable(np.eye(FEATURES, dtype=np.float16) * 2)
    save(
        path,
        lambda net, images: tf.cast(
            tf.cast(net.vector(images), tf.float16) @ net.matrix, "float32"
        ),
        matrix=matrix,
    )


through_strings = answering(
    lambda net, images: tf.strings.to_number(tf.strings.as_string(net.vector(images), precision=8))
)


def one_by_one(path: Path) -> None:
    save(path, lambda net, images: tf.map_fn(lambda image: net.vector(image[None])[0], images))


def in_a_loop(path: Path) -> None:
    def answer(net: Net, images: tf.Tensor) -> tf.Tensor:
        def step(count: tf.Tensor, vectors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return count + 1, tf.tanh(vectors) * 1.5

        return tf.while_loop(lambda count, _: count < 3, step, (0, net.vector(images)))[1]

    save(path, answer)


branches = answering(
    lambda net, images: tf.cond(
        tf.reduce_mean(images) > 1e6, lambda: net.vector(images) * 7, lambda: net.vector(images)
    )
)
checked = answering(
    lambda net, images: net.vector(
        tf.debugging.assert_all_finite(images, "the images have to be finite")
    )
)
compiled_inside = answering(
    lambda net, images: tf.function(net.vector, jit_compile=True, autograph=False)(images)
)
constants_alone = answering(
    lambda net, images: tf.reduce_mean(images, [1, 2]) @ tf.constant([[1.0, 2], [3, 4], [5, 6]])
)
sizes_of_the_data = answering(
    lambda net, images: tf.nn.l2_normalize(tf.sort(tf.boolean_mask(
        net.vector(images), tf.reduce_all(net.vector(images) < 1e9, axis=1))), axis=1)
)  # fmt: skip
unknown_to_openvino = answering(
    lambda net, images: (
        net.vector(images) + tf.math.igamma(tf.ones([FEATURES]), tf.zeros([FEATURES]))
    )
)
resized = answering(
    lambda net, images: net.vector(tf.image.resize(images, [48, 48], "bicubic", antialias=True)),
    spec(None, None, None, 3),
)


def _python(images: tf.Tensor) -> tf.Tensor:
    return images * 2


def python_function(path: Path) -> None:
    """Calls a function of the Python process that saved it; here that process has ended."""

    def answer(net: Net, images: tf.Tensor) -> tf.Tensor:
        doubled = tf.py_function(_python, [images], tf.float32)
        return net.vector(tf.ensure_shape(doubled, [None, SIZE, SIZE, 3]))

    save(path, answer)
    graph = path / "saved_model.pb"
    graph.write_bytes(graph.read_bytes().replace(b"pyfunc_", b"other__"))


def unknown_operation(path: Path) -> None:
    """Has an operation of a library that is not installed."""
    save(path, lambda net, images: tf.math.igamma(tf.abs(net.vector(images)), 1.0))
    graph = path / "saved_model.pb"
    graph.write_bytes(graph.read_bytes().replace(b"Igamma", b"Foobar"))
