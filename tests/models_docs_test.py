"""The program of docs/models.md that wraps a model, run on a small one."""

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"


class Tokens(tf.Module):
    """Answer the mean of each channel as the first token, and noise as the second."""

    @tf.function(input_signature=[tf.TensorSpec([None, 3, 224, 224], tf.float32, name="x")])
    def serve(self, x):
        means = tf.reduce_mean(x, axis=[2, 3])
        return {"tokens": tf.stack([means, tf.ones_like(means)], axis=1)}


@pytest.mark.slow
def test_the_wrapped_model_answers_what_is_computed_by_hand(tmp_path):
    inner = Tokens()
    tf.saved_model.save(inner, str(tmp_path / "inner"), signatures=inner.serve)
    (program,) = re.findall(r"## Wrap a model\n.*?```python\n(.*?)```", PAGE.read_text(), re.S)
    exec(program, {"INNER": str(tmp_path / "inner"), "WRAPPED": str(tmp_path / "wrapped")})
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    scaled = images.astype(np.float64) / 255
    normalised = (scaled - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = tf.saved_model.load(str(tmp_path / "wrapped"))(tf.constant(images))
    np.testing.assert_allclose(found, normalised.mean(axis=(1, 2)), atol=1e-5)
