import gc
import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.inference import agreement
from beamscope.transforms.inference.agreement import compare
from beamscope.transforms.inference.backends.base import Compiled
from beamscope.transforms.inference.backends.registry import BACKENDS
from beamscope.transforms.inference.backends.saved_model import compiling, devices, freezing
from beamscope.transforms.inference.backends.saved_model.loading import SavedModel
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_settings import ModelSettings, Precision
from beamscope.transforms.inference.trial_images import structured_images
from beamscope.transforms.problems import InputError
from tests.inference import models
from tests.shared_data import shared

BATCH = 4


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    uri = models.save(tmp_path_factory.mktemp("models") / "m", models.feature_map)
    return Embedder.from_settings(ModelSettings(uri, batch_size=BATCH))


@pytest.mark.parametrize("how", ["openvino", "xla", "graph", "none"])
@pytest.mark.parametrize("input_range", ["0..1", "-1..1", "0..255"])
def test_embed(tmp_path: Path, how: str, input_range: str) -> None:
    uri = models.save(tmp_path / "m", models.feature_map)
    embedder = Embedder.from_settings(
        ModelSettings(uri, input_range=input_range, batch_size=BATCH, compile=how)
    )
    assert (embedder.compile_used, embedder.fallback) == (how, None)
    assert embedder.compile_detail == ("" if how == "none" else "variables frozen")
    assert (embedder.check_cosine is None) == (how == "none")
    low, high = map(float, input_range.split(".."))
    pixels = models.noise(BATCH + 1)
    embeddings = embedder.embed(pixels)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, models.expected(pixels, low, high), rtol=1e-4, atol=1e-4)


def test_embed_uint8_model(tmp_path: Path) -> None:
    uri = models.ByDtype().save(tmp_path / "m")
    embedder = Embedder.from_settings(ModelSettings(uri, input_dtype="uint8", batch_size=BATCH))
    assert embedder.fallback is None
    pixels = models.noise(2)
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(0, 3 * BATCH + 1), seed=st.integers(0, 1000))
def test_embed_any_number(embedder: Embedder, n: int, seed: int) -> None:
    pixels = models.noise(n, seed=seed)
    embeddings = embedder.embed(pixels)
    assert embeddings.shape == (n, models.FEATURES)
    np.testing.assert_allclose(embeddings, models.expected(pixels), atol=1e-5)


def test_embed_takes_a_view_that_is_not_contiguous(embedder: Embedder) -> None:
    pixels = models.noise(BATCH)[:, ::-1, :, ::-1]
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels), atol=1e-5)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 16, 16, 3), np.float32),
        np.zeros((2, 16, 16), np.uint8),
        np.zeros((2, 16, 8, 3), np.uint8),
        np.zeros((2, 16, 16, 4), np.uint8),
        np.zeros((0, 224, 224, 3), np.uint8),
    ],
)
def test_embed_errors(embedder: Embedder, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"not uint8 \[n, 16, 16, 3\]"):
        embedder.embed(pixels)


def test_embed_from_several_threads(embedder: Embedder) -> None:
    batches = [models.noise(n, seed=n) for n in range(1, 17)]
    with ThreadPoolExecutor(4) as pool:
        for pixels, embeddings in zip(batches, pool.map(embedder.embed, batches), strict=True):
            np.testing.assert_allclose(embeddings, models.expected(pixels), atol=1e-5)


@pytest.mark.parametrize("how", ["xla", "graph"])
def test_falls_back_where_compiled_differs(
    tmp_path: Path,
    how: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compile_model = getattr(compiling, f"with_{how}")

    def turned(loaded: Any) -> Compiled:
        right = compile_model(loaded)
        return Compiled(lambda pixels: right.embed(pixels)[:, ::-1])

    monkeypatch.setattr(compiling, f"with_{how}", turned)
    uri = models.save(tmp_path / "dice", models.vectors)
    with caplog.at_level(logging.WARNING):
        embedder = Embedder.from_settings(ModelSettings(uri, batch_size=BATCH, compile=how))
    assert embedder.compile_used == "none"
    assert embedder.check_cosine is not None
    assert embedder.check_cosine < agreement.MIN_COSINE
    assert f"model dice: compiled ({how}) it differs from the plain call: cosine" in caplog.text
    assert embedder.embed(models.noise(3)).shape == (3, models.FEATURES)


def test_falls_back_where_xla_cannot_compile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uri = models.save(tmp_path / "m", models.through_strings)
    with caplog.at_level(logging.WARNING):
        embedder = Embedder.from_settings(ModelSettings(uri, batch_size=BATCH, compile="xla"))
    assert (embedder.compile_used, embedder.compile_detail) == ("none", "")
    assert embedder.check_cosine is None
    assert embedder.fallback is not None
    assert embedder.fallback.startswith("compiling (xla) failed: ")
    assert "model m: compiling (xla) failed" in caplog.text
    pixels = models.noise(3)
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels), atol=1e-5)


def test_falls_back_where_only_the_length_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_model = compiling.with_xla

    def doubled(loaded: Any) -> Compiled:
        right = compile_model(loaded)
        return Compiled(lambda pixels: 2 * right.embed(pixels))

    monkeypatch.setattr(compiling, "with_xla", doubled)
    uri = models.save(tmp_path / "m", models.vectors)
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=BATCH, compile="xla"))
    assert embedder.compile_used == "none"
    assert "length difference 100.00%" in (embedder.fallback or "")


@pytest.mark.parametrize("how", ["xla", "graph"])
def test_a_model_too_large_to_freeze_is_compiled_with_its_variables(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "MAX_FROZEN_BYTES", 4 * 3 * models.FEATURES)
    uri = models.save(tmp_path / "m", models.vectors)
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=BATCH, compile=how))
    assert embedder.compile_used == how
    assert "not frozen" in embedder.compile_detail
    gc.collect()
    pixels = models.noise(BATCH + 1)
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels), atol=1e-5)


def test_openvino_needs_no_freezing_by_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "MAX_FROZEN_BYTES", 0)
    uri = models.save(tmp_path / "m", models.vectors)
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=BATCH, compile="openvino"))
    assert (embedder.compile_used, embedder.compile_detail) == ("openvino", "variables frozen")
    pixels = models.noise(BATCH + 1)
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels), atol=1e-5)


def test_tensorflow_freezes_what_openvino_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unread(concrete: Any, path: Path) -> None:
        raise RuntimeError("no such operation\nat line 3")

    monkeypatch.setattr(compiling, "write_graph", unread)
    uri = models.save(tmp_path / "m", models.vectors)
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=BATCH, compile="openvino"))
    assert (embedder.compile_used, embedder.fallback) == ("openvino", None)
    assert embedder.compile_detail.startswith(
        "variables frozen by TensorFlow, because OpenVINO cannot read it: no such operation"
    )
    pixels = models.noise(BATCH + 1)
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels), atol=1e-5)


def test_what_can_be_frozen_counts_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wide(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(tf.ones([1000, 1000]))

        @tf.function(input_signature=[models.INPUT])
        def __call__(self, images: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(images, [1, 2]) @ self.kernel[:3, :5]

    tf.saved_model.save(Wide(), str(tmp_path / "m"))
    loaded = open_model(ModelSettings(str(tmp_path / "m")))
    assert isinstance(loaded, SavedModel)
    concrete = tf.function(loaded.call, input_signature=[models.INPUT]).get_concrete_function()
    for limit, fits in ((4_000_000, False), (4_100_000, True)):
        monkeypatch.setattr(freezing, "MAX_FROZEN_BYTES", limit)
        assert freezing.can_freeze(concrete) == fits


def test_the_plain_model_is_freed(tmp_path: Path) -> None:
    loaded = open_model(
        ModelSettings(models.save(tmp_path / "m", models.vectors), batch_size=BATCH)
    )
    assert isinstance(loaded, SavedModel)
    restored = weakref.ref(loaded.restored)
    embedder = Embedder(loaded)
    del loaded
    gc.collect()
    assert restored() is None
    pixels = models.noise(3)
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels), atol=1e-5)


def test_rows_that_are_not_finite_are_returned_as_they_are(tmp_path: Path) -> None:
    uri = models.save(tmp_path / "m", models.normalized)
    embedder = Embedder.from_settings(ModelSettings(uri, batch_size=BATCH))
    assert embedder.fallback is None
    pixels = models.noise(BATCH + 2)
    pixels[1] = 0
    finite = np.isfinite(embedder.embed(pixels))
    assert finite.all(axis=1).tolist() == [True, False, True, True, True, True]


NAN = np.float32(np.nan)


@pytest.mark.parametrize(
    ("computed", "wanted", "cosine", "difference"),
    [
        ([[3, 4]], [[3, 4]], 1, 0),
        ([[6, 8]], [[3, 4]], 1, 1),
        ([[3, 4], [0, 5]], [[3, 4], [5, 0]], 0, 0),
        ([[0, 0]], [[0, 0]], 1, 0),
        ([[NAN, 1]], [[NAN, 1]], 1, 0),
        ([[NAN, 1]], [[2, 1]], -1, np.inf),
        ([[0, 0]], [[2, 1]], -1, 1),
        (np.empty((0, 2)), np.empty((0, 2)), 1, 0),
    ],
)
def test_compare(computed: Any, wanted: Any, cosine: float, difference: float) -> None:
    result = compare(np.asarray(computed, np.float32), np.asarray(wanted, np.float32))
    assert result == pytest.approx((cosine, difference))


@pytest.mark.parametrize("size", [1, 7, 16, 224])
def test_structured_images(size: int) -> None:
    images = structured_images(3, size)
    assert (images.shape, images.dtype) == ((3, size, size, 3), np.uint8)
    assert len({image.tobytes() for image in images}) == 3
    np.testing.assert_array_equal(images, structured_images(3, size))


@pytest.mark.parametrize("how", ["openvino", "xla", "graph"])
def test_squeezenet_agrees_with_the_plain_call(how: str) -> None:
    directory = str(shared("models/squeezenet11-imagenet"))
    embedder = Embedder.from_settings(ModelSettings(directory, batch_size=BATCH, compile=how))
    assert embedder.compile_used == how
    pixels = structured_images(BATCH + 2, 224)[::-1]
    wanted = tf.saved_model.load(directory)(tf.cast(pixels, tf.float32) / 255).numpy()
    embeddings = embedder.embed(pixels)
    assert embeddings.shape == (BATCH + 2, 512)
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(wanted, axis=1)
    assert ((embeddings * wanted).sum(axis=1) / lengths).min() >= 0.9999


def few_only(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    tf.debugging.assert_less(tf.shape(images)[0], 3, message="too many images")
    return network.features(images)


def test_a_model_that_fails_on_a_batch_is_an_input_error(tmp_path: Path) -> None:
    uri = models.save(tmp_path / "m", few_only)
    with pytest.raises(InputError, match=r"model m: fails on a batch of 3 images: .*too many"):
        Embedder.from_settings(ModelSettings(uri, batch_size=BATCH))


def test_auto_goes_on_to_xla_where_openvino_cannot_compile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uri = models.save(tmp_path / "m", unknown_to_openvino)
    with caplog.at_level(logging.WARNING):
        embedder = Embedder.from_settings(ModelSettings(uri, batch_size=BATCH))
    assert (embedder.compile_used, embedder.compile_detail) == ("xla", "variables frozen")
    assert embedder.fallback is not None
    assert embedder.fallback.startswith("compiling (openvino) failed: ")
    assert embedder.fallback.endswith("; xla is used")
    assert "\n" not in embedder.fallback
    pixels = models.noise(3)
    np.testing.assert_allclose(embedder.embed(pixels), models.expected(pixels), atol=1e-4)


def unknown_to_openvino(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    features = network.features(images)
    return features + tf.math.igamma(tf.ones_like(features), tf.zeros_like(features))


@pytest.mark.parametrize(
    ("how", "precision"), [("openvino", "bfloat16"), ("graph", "bfloat16"), ("auto", "bfloat16")]
)
def test_squeezenet_at_a_lower_precision(how: str, precision: Precision) -> None:
    settings = ModelSettings(
        str(shared("models/squeezenet11-imagenet")),
        batch_size=BATCH,
        compile=how,
        precision=precision,
    )
    try:
        BACKENDS.get("saved_model").candidates(settings)
    except InputError as error:
        pytest.skip(str(error))
    embedder = Embedder.from_settings(settings)
    expected = "openvino" if how == "auto" else how
    assert (embedder.compile_used, embedder.precision) == (expected, precision)
    pixels = structured_images(BATCH + 1, 224)
    plain = Embedder.from_settings(ModelSettings(settings.uri, batch_size=BATCH, compile="none"))
    cosine, difference = compare(embedder.embed(pixels), plain.embed(pixels))
    # Rounded, or it would not be in that precision; and to eight bits, not to fewer.
    assert 0.999 < cosine < 0.9999999
    assert difference < 0.01


def test_what_overflows_at_a_lower_precision_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(loaded: Any) -> Compiled:
        return Compiled(lambda pixels: np.full((len(pixels), models.FEATURES), np.inf, np.float32))

    monkeypatch.setattr(compiling, "with_xla", wrong)
    monkeypatch.setattr(devices, "gpus", lambda: ["GPU:0"])
    uri = models.save(tmp_path / "m", models.vectors)
    with pytest.raises(
        InputError, match=r"model m: --precision float16: compiled \(xla\) it differs .*-1\.0000"
    ):
        Embedder.from_settings(ModelSettings(uri, batch_size=BATCH, precision="float16"))
