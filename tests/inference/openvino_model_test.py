import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.inference.agreement import compare
from beamscope.transforms.inference.backends.saved_model.compiling import write_graph
from beamscope.transforms.inference.backends.saved_model.freezing import FrozenGraph, freeze
from beamscope.transforms.inference.backends.saved_model.group_means import shorten_group_means
from beamscope.transforms.inference.backends.saved_model.loading import SavedModel
from beamscope.transforms.inference.bit.network import BitResNet
from beamscope.transforms.inference.bit.weights import random_weights
from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.openvino_model import OpenVinoModel
from beamscope.transforms.inference.trial_images import structured_images
from tests.inference import models

ROOT = Path(__file__).resolve().parents[2]


def compiled(directory: Path, images: int) -> OpenVinoModel:
    """A small model that takes `images` images at once."""
    settings = ModelSettings(models.save(directory / "m", models.feature_map), batch_size=images)
    loaded = open_model(settings)
    assert isinstance(loaded, SavedModel)
    return from_graph(directory, freeze(loaded.traced(images)), models.FEATURES)


def from_graph(directory: Path, frozen: FrozenGraph, features: int) -> OpenVinoModel:
    path = directory / "frozen.pb"
    path.write_bytes(frozen.graph.SerializeToString())
    model = OpenVinoModel(path, features, "float32")
    path.unlink()
    return model


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("n", [0, 1, 5, 6])
def test_any_number_of_images(tmp_path: Path, images: int, n: int) -> None:
    model = compiled(tmp_path, images)
    pixels = models.noise(n)
    embeddings = model(pixels)
    assert (embeddings.shape, embeddings.dtype) == ((n, models.FEATURES), np.float32)
    np.testing.assert_allclose(embeddings, models.expected(pixels), atol=1e-5)


def test_from_several_threads(tmp_path: Path) -> None:
    model = compiled(tmp_path, 1)
    blocks = [models.noise(9, seed=seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        for pixels, embeddings in zip(blocks, pool.map(model, blocks), strict=True):
            np.testing.assert_allclose(embeddings, models.expected(pixels), atol=1e-5)


def test_errors_are_raised(tmp_path: Path) -> None:
    model = compiled(tmp_path, 1)
    with pytest.raises(RuntimeError):
        model(models.noise(2, size=models.SIZE + 1))


@pytest.mark.parametrize("way", ["read by OpenVINO", "frozen by TensorFlow"])
def test_bit_agrees_with_the_plain_call(tmp_path: Path, way: str) -> None:
    """BiT 50x1 on small images; its norms are what is rewritten for OpenVINO."""
    network = BitResNet("50x1", random_weights("50x1", 0))

    @tf.function(input_signature=[tf.TensorSpec([1, 64, 64, 3], tf.uint8)])
    def embed(pixels: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(network(tf.cast(pixels, tf.float32) / 255), [1, 2])

    concrete = embed.get_concrete_function()
    if way == "read by OpenVINO":
        write_graph(concrete, tmp_path / "m.xml")
        model = OpenVinoModel(tmp_path / "m.xml", 2048, "float32")
    else:
        graph, rewritten = shorten_group_means(freeze(concrete))
        assert rewritten == 2 * 49
        model = from_graph(tmp_path, graph, 2048)
    pixels = structured_images(3, 64)
    plain = np.concatenate([embed(pixels[i : i + 1]).numpy() for i in range(3)])
    cosine, difference = compare(model(pixels), plain)
    assert cosine >= 0.999999
    assert difference < 1e-4


def test_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    """Its import alone would report to its makers and leave a file in the user's home."""
    program = (
        "import sys, threading;"
        "from beamscope.transforms.inference.openvino_model import has_bfloat16;"
        "has_bfloat16(); from openvino.tools.ovc import telemetry_utils;"
        "print(telemetry_utils.tm.__name__, threading.active_count())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.stdout == "openvino.tools.ovc.telemetry_stub 1\n", done.stderr
    assert not list(tmp_path.iterdir())


def test_the_first_call_of_a_process_may_be_by_several_threads(tmp_path: Path) -> None:
    """Without care two of them wait for each other for ever."""
    program = (
        "from pathlib import Path; from tests.inference import models;"
        "from tests.inference.openvino_model_test import compiled;"
        f"model = compiled(Path({str(tmp_path)!r}), 1);"
        "print(model(models.noise(16)).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == f"(16, {models.FEATURES})\n", done.stderr


def test_a_graph_that_openvino_cannot_read_leaves_our_warnings_on(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32)])
    def unknown_to_openvino(values):
        return tf.math.lgamma(values)

    before = logging.getLogger().level
    with pytest.raises(Exception, match="Lgamma"):
        write_graph(unknown_to_openvino.get_concrete_function(), tmp_path / "m.xml")
    assert logging.getLogger().level == before
