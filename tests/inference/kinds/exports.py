"""Models as TensorFlow 1 exported them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.inference.kinds.nets import FEATURES, SIZE


def tensorflow_1(
    path: Path,
    tags: Sequence[Sequence[str]],
    signature: str | None = "serving_default",
    *,
    told_whether_training: bool = False,
    legacy: bool = False,
) -> None:
    """Save a graph for each list of tags, with the same weights."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(path))
    kernel = np.random.default_rng(8).normal(0, 0.3, (5, 5, 3, FEATURES)).astype(np.float32)
    for number, each in enumerate(tags):
        with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
            images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="images")
            weights = v1.get_variable("kernel", initializer=kernel, use_resource=not legacy)
            answer = tf.nn.relu(tf.nn.conv2d(images, weights, 2, "SAME"))
            inputs = {"images": images}
            if told_whether_training:
                inputs["is_training"] = v1.placeholder(tf.bool, [], name="is_training")
                chosen = answer
                answer = tf.cond(
                    inputs["is_training"], lambda chosen=chosen: chosen * 0, lambda c=chosen: c
                )
            answer = tf.reduce_mean(answer, [1, 2])
            session.run(v1.global_variables_initializer())
            definition = v1.saved_model.signature_def_utils.predict_signature_def(
                inputs, {"default": answer}
            )
            signatures = {signature: definition} if signature else {}
            if number == 0:
                builder.add_meta_graph_and_variables(session, each, signature_def_map=signatures)
            else:
                builder.add_meta_graph(each, signature_def_map=signatures)
    builder.save()
