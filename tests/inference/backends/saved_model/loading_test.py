import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.inference.backends.base import LoadedModel
from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError
from tests.inference import models
from tests.shared_data import shared

UINT8 = tf.TensorSpec([None, models.SIZE, models.SIZE, 3], tf.uint8)
BYTES = tf.TensorSpec([None], tf.string, name="examples")


def pair(network: models.Network, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return network.features(images) * 0, network.features(images)


def half(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    return tf.cast(network.features(images), tf.float16)


def embed(loaded: LoadedModel, pixels: np.ndarray) -> np.ndarray:
    return loaded.answer(pixels)


CALLS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    # name, how it is saved, options, what the spec says
    (
        "object",
        {"call": models.vectors},
        {},
        {"called": "object", "input_name": "images", "output_key": None, "pooling": "none"},
    ),
    (
        "object_before_signature",
        {"call": models.vectors, "signatures": {"serving_default": (models.failing, models.INPUT)}},
        {},
        {"called": "object"},
    ),
    (
        "serving_default",
        {
            "signatures": {
                "other": (models.failing, models.INPUT),
                "serving_default": (models.named, models.INPUT),
            }
        },
        {},
        {"called": "signature serving_default", "output_key": "embedding"},
    ),
    (
        "only_signature",
        {"signatures": {"embed": (models.vectors, models.INPUT)}},
        {},
        {"called": "signature embed", "output_key": "output_0"},
    ),
    (
        "chosen_signature",
        {
            "call": models.failing,
            "signatures": {
                "serving_default": (models.failing, models.INPUT),
                "embed": (models.named, models.INPUT),
            },
        },
        {"signature": "embed"},
        {"called": "signature embed"},
    ),
    (
        "dict_of_one",
        {"call": models.named},
        {},
        {"called": "object", "output_key": "embedding"},
    ),
    (
        "dict_of_several",
        {"call": models.several},
        {"output_key": "embedding"},
        {"output_key": "embedding", "features": models.FEATURES},
    ),
    (
        "tuple",
        {"call": pair},
        {"output_key": "1"},
        {"output_key": "1"},
    ),
    (
        "feature_map",
        {"call": models.feature_map},
        {},
        {"pooling": "mean", "output_shape": (4, 4, models.FEATURES)},
    ),
    (
        "half_precision_output",
        {"call": half},
        {},
        {"input_dtype": "float32"},
    ),
    (
        "any_size",
        {"call": models.vectors, "spec": models.ANY_SIZE},
        {"input_size": models.SIZE},
        {"size_source": "option", "input_size": models.SIZE},
    ),
    (
        "any_size_gets_patches_as_they_are",
        {"call": models.vectors, "spec": models.ANY_SIZE},
        {"flexible_size": models.SIZE},
        {"size_source": "patch size", "input_size": models.SIZE},
    ),
    (
        "patches_of_another_size_are_fitted_later",
        {"call": models.vectors},
        {"flexible_size": 99},
        {"size_source": "model", "input_size": models.SIZE},
    ),
    (
        "bfloat16_input",
        {"call": models.vectors, "spec": tf.TensorSpec(models.INPUT.shape, tf.bfloat16)},
        {},
        {"input_dtype": "bfloat16"},
    ),
]


@pytest.mark.parametrize(
    ("saved", "options", "spec"), [case[1:] for case in CALLS], ids=[case[0] for case in CALLS]
)
def test_load(
    tmp_path: Path, saved: dict[str, Any], options: dict[str, Any], spec: dict[str, Any]
) -> None:
    uri = models.save(tmp_path / "m", **saved)
    loaded = open_model(ModelSettings(uri, **options))
    assert {key: getattr(loaded.spec, key) for key in spec} == spec
    assert loaded.spec.features == models.FEATURES
    assert loaded.spec.input_size == models.SIZE
    pixels = models.noise(3)
    embeddings = embed(loaded, pixels)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, models.expected(pixels), rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    ("name", "spec", "option", "input_range", "source", "bounds"),
    [
        ("m", models.INPUT, None, "0..1", "assumed", (0, 1)),
        ("m", models.INPUT, "0..1", "0..1", "option", (0, 1)),
        ("m", models.INPUT, "-1..1", "-1..1", "option", (-1, 1)),
        ("m", models.INPUT, "0..255", "0..255", "option", (0, 255)),
        ("m", UINT8, None, "0..255", "dtype", (0, 255)),
    ],
)
def test_load_input_range(
    tmp_path: Path,
    name: str,
    spec: tf.TensorSpec,
    option: str | None,
    input_range: str,
    source: str,
    bounds: tuple[float, float],
) -> None:
    uri = models.save(tmp_path / name, models.vectors, spec=spec)
    loaded = open_model(ModelSettings(uri, input_range=option))
    assert (loaded.spec.input_range, loaded.spec.range_source) == (input_range, source)
    pixels = models.noise(3)
    np.testing.assert_allclose(
        embed(loaded, pixels), models.expected(pixels, *bounds), rtol=1e-4, atol=1e-4
    )


def test_load_remedis_name(tmp_path: Path) -> None:
    uri = models.save(tmp_path / "cxr-50x1-remedis-m", models.vectors, spec=models.ANY_SIZE)
    spec = open_model(ModelSettings(uri + "/")).spec
    assert (spec.name, spec.input_size, spec.size_source) == (
        "cxr-50x1-remedis-m",
        448,
        "REMEDIS name",
    )
    assert (spec.input_range, spec.range_source) == ("0..1", "REMEDIS name")


def test_load_calls_out_of_training(tmp_path: Path) -> None:
    loaded = open_model(ModelSettings(models.InTrainingOrNot().save(tmp_path / "m")))
    pixels = models.noise(2)
    np.testing.assert_allclose(embed(loaded, pixels), models.expected(pixels), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_load_chooses_by_dtype(tmp_path: Path, dtype: str) -> None:
    loaded = open_model(ModelSettings(models.ByDtype().save(tmp_path / "m"), input_dtype=dtype))
    assert loaded.spec.input_dtype == dtype
    pixels = models.noise(2)
    np.testing.assert_allclose(embed(loaded, pixels), models.expected(pixels), atol=1e-5)


@pytest.mark.parametrize("size", [16, 32])
def test_load_chooses_by_size(tmp_path: Path, size: int) -> None:
    uri = models.TwoSizes().save(tmp_path / "m")
    assert open_model(ModelSettings(uri, input_size=size)).spec.input_size == size
    with pytest.raises(InputError, match="images of 16x16, 32x32: choose by --input_size"):
        open_model(ModelSettings(uri))
    # The size of the patches decides among sizes, and says nothing about other models.
    assert open_model(ModelSettings(uri, flexible_size=size)).spec.input_size == size
    with pytest.raises(InputError, match="choose by --input_size"):
        open_model(ModelSettings(uri, flexible_size=64))


def test_load_keras_export(tmp_path: Path) -> None:
    keras = tf.keras
    dense = keras.layers.Dense(models.FEATURES, use_bias=False)
    network = keras.Sequential(
        [keras.Input((models.SIZE, models.SIZE, 3)), keras.layers.GlobalAveragePooling2D(), dense]
    )
    dense.set_weights([models.KERNEL])
    network.export(str(tmp_path / "m"), verbose=False)
    pixels = models.noise(3)
    for signature in (None, "serve"):
        loaded = open_model(ModelSettings(str(tmp_path / "m"), signature=signature))
        np.testing.assert_allclose(embed(loaded, pixels), models.expected(pixels), atol=1e-5)


def test_load_squeezenet() -> None:
    spec = open_model(ModelSettings(str(shared("models/squeezenet11-imagenet")))).spec
    assert (spec.called, spec.input_size, spec.features) == ("object", 224, 512)
    assert spec.to_json()["output_shape"] == [512]


def flat(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    return network.features(images)[:, 0]


def one_row(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    return tf.concat([network.features(images)] * 2, axis=0)


def integers(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    return tf.cast(network.features(images), tf.int32)


def not_a_number(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    return network.features(images) * np.nan


def count_bytes(network: models.Network, examples: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(examples), tf.float32)


def any_channels(network: models.Network, images: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(images, [1, 2])


def size_spec(*shape: int | None) -> tf.TensorSpec:
    return tf.TensorSpec(shape, tf.float32)


ERRORS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("fails", {"call": models.failing}, {}, "fails on a grey 16x16 image: .*have to be negative"),
    ("nan", {"call": not_a_number}, {}, "answers a grey 16x16 image with NaN"),
    ("several", {"call": models.several}, {}, r"2 outputs \(embedding, logits\).*--output_key"),
    (
        "wrong_key",
        {"call": models.several},
        {"output_key": "pool"},
        "no output 'pool', those are embedding, logits",
    ),
    (
        "key_of_a_tensor",
        {"call": models.vectors},
        {"output_key": "pool"},
        "no output 'pool', it answers one tensor",
    ),
    ("rank", {"call": flat}, {}, r"answers an image with shape \[\], not with a vector"),
    ("rows", {"call": one_row}, {}, r"answers 1 image\(s\) with shape \(2, 5\)"),
    ("integers", {"call": integers}, {}, "answers int32, not a tensor of floats"),
    (
        "wrong_signature",
        {"signatures": {"a": (models.vectors, models.INPUT)}},
        {"signature": "b"},
        "no signature 'b'; its signatures: a",
    ),
    (
        "two_signatures",
        {
            "signatures": {
                "a": (models.vectors, models.INPUT),
                "b": (models.vectors, models.INPUT),
            }
        },
        {},
        "cannot be called itself; its signatures: a, b",
    ),
    ("nothing", {}, {}, "cannot be called itself; its signatures: none"),
    (
        "examples",
        {"signatures": {"serving_default": (count_bytes, BYTES)}},
        {},
        r"does not take one batch of images .* but string \(None,\) \(examples\)",
    ),
    (
        "five_channels",
        {"call": any_channels, "spec": size_spec(None, 16, 16, 5)},
        {},
        r"float32 \(None, 16, 16, 5\) \(images\): choose another by --signature \(none\), or wrap",
    ),
    ("size", {"call": models.vectors}, {"input_size": 32}, "of 16x16, and --input_size says 32"),
    (
        "no_size",
        {"call": models.vectors, "spec": models.ANY_SIZE},
        {},
        "any size, so --input_size must say",
    ),
    (
        "not_square",
        {"call": models.vectors, "spec": size_spec(None, 16, 24, 3)},
        {},
        "images of 16x24",
    ),
    (
        "dtype",
        {"call": models.vectors},
        {"input_dtype": "uint8"},
        "takes float32, and --input_dtype is uint8",
    ),
    (
        "range_of_uint8",
        {"call": models.vectors, "spec": UINT8},
        {"input_range": "0..1"},
        "takes uint8, which rules out --input_range 0..1",
    ),
]


@pytest.mark.parametrize(
    ("saved", "options", "message"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS]
)
def test_load_errors(
    tmp_path: Path, saved: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    uri = models.save(tmp_path / "mymodel", **saved)
    with pytest.raises(InputError, match=message) as raised:
        open_model(ModelSettings(uri, **options))
    assert raised.value.kind == "bad_model"
    assert "\n" not in raised.value.message
    assert raised.value.message.startswith("model mymodel: ")
    assert "\n" not in raised.value.message


def test_load_fixed_batch(tmp_path: Path) -> None:
    uri = models.save(tmp_path / "m", models.vectors, spec=size_spec(4, 16, 16, 3))
    pixels = models.noise(6)
    loaded = open_model(ModelSettings(uri, batch_size=16))
    assert (loaded.spec.fixed_batch, loaded.batch_size) == (4, 4)
    np.testing.assert_allclose(loaded.embed(pixels), models.expected(pixels), atol=1e-5)


def test_load_remedis_name_against_the_models_size(tmp_path: Path) -> None:
    uri = models.save(tmp_path / "path-50x1-remedis-m", models.vectors)
    with pytest.raises(InputError, match="of 16x16, and its REMEDIS name says 224"):
        open_model(ModelSettings(uri))


@pytest.mark.parametrize(
    "damage", ["graph", "cut_graph", "empty_graph", "index", "data", "no_data", "no_variables"]
)
def test_load_errors_of_damaged_files(tmp_path: Path, damage: str) -> None:
    directory = Path(models.save(tmp_path / "m", models.vectors))
    variables = directory / "variables"
    match damage:
        case "graph":
            (directory / "saved_model.pb").write_bytes(b"no graph at all")
        case "cut_graph":
            graph = (directory / "saved_model.pb").read_bytes()
            (directory / "saved_model.pb").write_bytes(graph[: len(graph) // 2])
        case "empty_graph":
            (directory / "saved_model.pb").write_bytes(b"")
        case "index":
            (variables / "variables.index").write_bytes(b"")
        case "data":
            (variables / "variables.data-00000-of-00001").write_bytes(b"\0" * 10)
        case "no_data":
            (variables / "variables.data-00000-of-00001").unlink()
        case "no_variables":
            shutil.rmtree(variables)
    with pytest.raises(InputError, match="model m: cannot be loaded: ") as raised:
        open_model(ModelSettings(str(directory)))
    assert raised.value.kind == "bad_model"
