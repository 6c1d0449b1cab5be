"""From grey levels to a model's values, against arithmetic written out here."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.fingerprints import Fingerprint, settings_of
from beamscope.transforms.inference.backends.saved_model.images import prepare
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.preprocessing import PixelMap, pixel_map
from beamscope.transforms.problems import InputError
from tests.fingerprints_test import SPEC
from tests.inference import models

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939, 116.779, 123.68)  # Of blue, green and red.
PIXELS = models.noise(3)
VALUES = PIXELS.astype(np.float64)
CASES = [
    ({}, VALUES / 255),
    ({"input_range": "-1..1"}, VALUES / 127.5 - 1),
    ({"channel_order": "bgr"}, VALUES[..., ::-1] / 255),
    ({"input_mean": MEAN, "input_std": STD}, (VALUES / 255 - MEAN) / STD),
    ({"input_mean": (0.5,), "input_std": (0.5,)}, VALUES / 127.5 - 1),
    (
        {"input_mean": MEAN, "input_std": STD, "channel_order": "bgr"},
        (VALUES[..., ::-1] / 255 - MEAN) / STD,
    ),
    (
        {"input_range": "0..255", "channel_order": "bgr", "input_mean": CAFFE_MEAN,
         "input_std": (1.0, 1.0, 1.0)},
        VALUES[..., ::-1] - CAFFE_MEAN,
    ),
]  # fmt: skip


def _weights() -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)


def _flat(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    """An answer that every pixel and each channel changes differently."""
    return tf.reduce_mean(tf.abs(images), [1, 2]) @ tf.constant(_weights())


@pytest.mark.parametrize(("options", "prepared"), CASES)
@pytest.mark.parametrize("how", ["none", "openvino", "xla"])
def test_a_model_gets_what_is_computed_by_hand(
    tmp_path: Path, how: str, options: dict[str, Any], prepared: np.ndarray[Any, Any]
) -> None:
    uri = models.save(tmp_path / "m", _flat)
    embedder = Embedder.from_settings(ModelSettings(uri, compile=how, batch_size=2, **options))
    assert embedder.fallback is None
    expected = np.abs(prepared).mean(axis=(1, 2)) @ _weights()
    np.testing.assert_allclose(embedder.embed(PIXELS), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("order", "channels", "dtype"),
    [("bgr", 3, "float32"), ("rgb", 3, "float32"), ("rgb", 1, "float32"), ("rgb", 1, "uint8"),
     ("bgr", 3, "uint8")],
)  # fmt: skip
def test_the_graph_and_numpy_compute_the_same(order: str, channels: int, dtype: str) -> None:
    mean, std = (MEAN, STD) if channels == 3 else ((0.5,), (0.25,))
    if dtype == "uint8":
        mean = std = None
    found = pixel_map(
        dtype=dtype, channels=channels, input_range="0..1", mean=mean, std=std, channel_order=order
    )
    graph = prepare(tf.constant(PIXELS), found, dtype, "channels_first", channels)
    by_numpy = np.moveaxis(found.apply(PIXELS), -1, 1)
    np.testing.assert_allclose(graph.numpy().astype(np.float32), by_numpy, atol=1e-5)


def test_integers_keep_grey_levels_in_the_other_order() -> None:
    found = pixel_map(dtype="uint8", channels=3, input_range="0..255", channel_order="bgr")
    assert found == PixelMap((2, 1, 0), integers=True)
    np.testing.assert_array_equal(found.apply(PIXELS), PIXELS[..., ::-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_mean": MEAN}, "--input_mean: give --input_std too .1 for a model without one"),
        ({"input_std": STD}, "--input_std: give --input_mean too .0 for"),
        ({"input_mean": (0.5, 0.5), "input_std": (1.0, 1.0)}, "--input_mean takes one number, or"),
        ({"input_mean": (0.5,), "input_std": STD}, "--input_mean has 1 numbers and --input_std 3"),
        ({"input_mean": (0.5,), "input_std": (0.0,)}, "--input_std must be above 0, got 0"),
        ({"input_mean": (float("nan"),), "input_std": (1.0,)}, "--input_mean must be finite"),
        (
            {"input_mean": MEAN, "input_std": STD, "input_range": "-1..1"},
            "--input_range=-1..1 is itself a mean and a std of 0.5",
        ),
        (
            {"input_mean": (123.675,) * 3, "input_std": (58.395,) * 3},
            r"within the input range 0..1 \(or add --input_range 0..255\)",
        ),
        (
            {"input_mean": MEAN, "input_std": STD, "input_range": "0..255"},
            "--input_mean 0.485 0.456 0.406: is of the range 0..1, and --input_range is 0..255",
        ),
        ({"input_mean": (-0.5,), "input_std": (1.0,)}, "must lie within the input range 0..1$"),
        ({"channel_order": "gbr"}, "--channel_order must be one of rgb, bgr, got 'gbr'"),
    ],
)
def test_flags_that_contradict_each_other(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        ModelSettings("m", **options)
    assert raised.value.kind == "bad_option"


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (
            tf.TensorSpec([None, 16, 16, 3], tf.uint8),
            {"input_mean": MEAN, "input_std": STD},
            "takes uint8, which rules out --input_mean and --input_std",
        ),
        (
            tf.TensorSpec([None, 16, 16, 1], tf.float32),
            {"input_mean": MEAN, "input_std": STD},
            "takes one grey channel, and --input_mean and --input_std are of three",
        ),
        (
            tf.TensorSpec([None, 16, 16, 1], tf.float32),
            {"channel_order": "bgr"},
            "takes one grey channel, which rules out --channel_order bgr",
        ),
    ],
)
def test_flags_that_contradict_the_model(
    tmp_path: Path, spec: tf.TensorSpec, options: dict[str, Any], message: str
) -> None:
    def grey(network: models.Network, images: tf.Tensor) -> tf.Tensor:
        return network.features(tf.cast(images, tf.float32) * tf.ones([1, 1, 1, 3]))

    uri = models.save(tmp_path / "m", grey, spec=spec)
    with pytest.raises(InputError, match=message) as raised:
        open_model(ModelSettings(uri, **options))
    assert raised.value.kind == "bad_model"


def test_the_spec_says_one_number_for_each_channel(tmp_path: Path) -> None:
    uri = models.save(tmp_path / "m", _flat)
    spec = open_model(ModelSettings(uri, input_mean=(0.5,), input_std=(0.25,))).spec
    assert (spec.input_mean, spec.input_std) == ((0.5,) * 3, (0.25,) * 3)
    assert (spec.input_range, spec.range_source) == ("0..1", "mean and std")
    assert spec.values_text() == "0..1, mean 0.5 0.5 0.5, std 0.25 0.25 0.25"


def test_what_is_not_given_changes_no_fingerprint() -> None:
    """Outputs from before these settings go on: the digest was recorded then."""
    assert Fingerprint(settings_of("embedding", SPEC)).digest == "9a7ed5cfc10a6e92"


@pytest.mark.parametrize(
    "change", [{"input_mean": MEAN}, {"input_std": STD}, {"channel_order": "bgr"}]
)
def test_what_is_given_enters_the_fingerprint(change: dict[str, Any]) -> None:
    before, after = (
        settings_of("embedding", spec) for spec in (SPEC, dataclasses.replace(SPEC, **change))
    )
    (name,) = change
    assert after.pop(f"model_{name}") == (
        list(change[name]) if isinstance(change[name], tuple) else change[name]
    )
    assert after == before
