"""SavedModels as people have them, written by the scripts of ../shared/cases/models.

Each embeds as a direct call of TensorFlow on the same pixels, or is refused with a remedy.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.inference.agreement import compare
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.trial_images import structured_images
from beamscope.transforms.problems import InputError
from tests.shared_data import shared

SIZE = 224
Direct = Callable[[Any, tf.Tensor], tf.Tensor]


@pytest.fixture
def written(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The model of the script that the parameter ``name`` names."""
    name = request.getfixturevalue("name")
    script = shared(f"cases/models/{name}.py")
    monkeypatch.chdir(tmp_path)  # One leaves a file behind.
    runpy.run_path(str(script))[name](str(tmp_path / name))
    return str(tmp_path / name)


def signature(model: Any, images: tf.Tensor) -> tf.Tensor:
    function = model.signatures["serving_default"]
    (argument,) = function.structured_input_signature[1]
    (answer,) = function(**{argument: images}).values()
    return answer


def one_at_a_time(model: Any, images: tf.Tensor) -> tf.Tensor:
    return tf.concat([signature(model, image[None]) for image in images], axis=0)


EMBEDS: list[Any] = [
    ("batch1", {}, one_at_a_time),
    ("hub_momentum", {}, signature),
    ("in_f64", {}, lambda model, x: model(tf.cast(x, tf.float64))),
    # Half a minute to trace; kinds_test has a smaller model of Keras.
    pytest.param("k3_effnetb0", {"input_size": SIZE}, signature, marks=pytest.mark.campaign),
    ("nchw_in", {}, lambda model, x: signature(model, tf.transpose(x, [0, 3, 1, 2]))),
    ("nchw_out", {}, lambda model, x: tf.reduce_mean(model(x), [2, 3])),
    ("none_var", {}, lambda model, x: model(x)),
    ("string_var", {}, lambda model, x: model(x)),
    ("table_asset", {}, lambda model, x: model(x)),
    ("tf1_serve_tpu", {"tags": ("serve",)}, signature),
    ("tf1_serve_tpu", {"tags": ("serve", "tpu")}, signature),
    ("vit_tokens", {"pooling": "mean"}, lambda m, x: tf.reduce_mean(signature(m, x), axis=1)),
]


@pytest.mark.parametrize(("name", "options", "direct"), EMBEDS)
def test_embeds(written: str, name: str, options: dict[str, Any], direct: Direct) -> None:
    embedder = Embedder.from_settings(ModelSettings(written, batch_size=2, **options))
    pixels = structured_images(3, SIZE)[::-1]
    tags = options.get("tags")
    model = tf.saved_model.load(written, tags=list(tags) if tags else None)
    expected = direct(model, tf.constant(pixels.astype(np.float32) / 255)).numpy()
    cosine, difference = compare(embedder.embed(pixels), expected)
    assert cosine >= 0.9999
    assert difference < 0.001


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("batch_mean", r"answers 3 images with shape \[1, 64\].*wrap the model"),
        ("batchdep", r"another answer for an image alone .*training=False"),
        ("tf1_serve_tpu", r"choose by --tags serve or --tags serve tpu"),
    ],
)
def test_refused(written: str, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        Embedder.from_settings(ModelSettings(written, batch_size=2))
    assert "\n" not in raised.value.message
