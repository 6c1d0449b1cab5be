"""Models of every kind that people have: embedded as TensorFlow itself does, or refused.

Each is tiny. What TensorFlow answers is computed here from the SavedModel, without beamscope.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from beamscope.transforms.inference.agreement import compare
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError
from tests.inference import models
from tests.inference.kinds import exports, faults, graphs, inputs, outputs
from tests.inference.kinds.nets import FEATURES, SIZE

Build = Callable[[Path], None]
LUMA = np.float32([0.299, 0.587, 0.114])


def floats(pixels: np.ndarray) -> tf.Tensor:
    return tf.constant(pixels.astype(np.float32) / 255)


def first_signature(model: Any, images: tf.Tensor) -> tf.Tensor:
    # Keras has the same function under two names.
    function = next(iter(model.signatures.values()))
    (name,) = function.structured_input_signature[1]
    (answer,) = function(**{name: images}).values()
    return answer


def called(model: Any, pixels: np.ndarray) -> tf.Tensor:
    return model(floats(pixels))


def signed(model: Any, pixels: np.ndarray) -> tf.Tensor:
    return first_signature(model, floats(pixels))


def in_dtype(dtype: tf.DType) -> Callable[[Any, np.ndarray], tf.Tensor]:
    scale = 1 if dtype.is_integer else 255
    return lambda model, pixels: model(tf.cast(pixels.astype(np.float32) / scale, dtype))


def grey(axis: int | None) -> Callable[[Any, np.ndarray], tf.Tensor]:
    def direct(model: Any, pixels: np.ndarray) -> tf.Tensor:
        images = (pixels.astype(np.float32) @ LUMA) / 255
        return model(tf.constant(images if axis is None else np.expand_dims(images, axis)))

    return direct


def mean_over(*axes: int) -> Callable[[Any, np.ndarray], tf.Tensor]:
    return lambda model, pixels: tf.reduce_mean(called(model, pixels), list(axes))


def key(*names: Any) -> Callable[[Any, np.ndarray], tf.Tensor]:
    return lambda model, pixels: functools.reduce(lambda a, b: a[b], names, called(model, pixels))


@dataclasses.dataclass(frozen=True)
class Embeds:
    """A model that embeds: `direct` is what TensorFlow answers for uint8 RGB ``[n, H, W, 3]``."""

    build: Build
    direct: Callable[[Any, np.ndarray], tf.Tensor] = called
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    by: str = "openvino"


def option(**options: Any) -> dict[str, Any]:
    return options


EMBEDS = {
    "vectors": Embeds(inputs.vectors),
    **{
        f"in_{dtype.name}": Embeds(inputs.of_dtype(dtype), in_dtype(dtype), by="any")
        for dtype in (tf.float64, tf.float16, tf.bfloat16, tf.uint8, tf.int32)
    },
    "channels_first": Embeds(
        inputs.channels_first, lambda m, x: m(tf.transpose(floats(x), [0, 3, 1, 2]))
    ),
    "one_channel": Embeds(inputs.one_channel, grey(3)),
    "one_channel_first": Embeds(inputs.one_channel_first, grey(1)),
    "no_channels": Embeds(inputs.no_channels, grey(None)),
    "unknown_shape": Embeds(inputs.unknown_shape, options=option(input_size=SIZE)),
    "any_size": Embeds(inputs.any_size, options=option(flexible_size=SIZE)),
    "in_a_dict": Embeds(inputs.in_a_dict, lambda m, x: m({"pixels": floats(x)})),
    "batch_of_one": Embeds(
        inputs.batch_of_one, lambda m, x: tf.concat([signed(m, one[None]) for one in x], 0)
    ),
    "batch_of_four": Embeds(
        inputs.batch_of_four,
        lambda m, x: tf.concat([called(m, x[:4]), called(m, x[[4, 4, 4, 4]])[:1]], 0),
    ),
    "with_training": Embeds(
        inputs.with_training,
        lambda m, x: m.signatures["serving_default"](
            images=floats(x), is_training=tf.constant(False)
        )["output_0"],
    ),
    "hub": Embeds(inputs.hub, lambda m, x: m(floats(x), False, tf.constant(0.5))),
    "hub_beside": Embeds(inputs.hub_beside, signed),
    "maps": Embeds(outputs.maps, mean_over(1, 2)),
    "maps_first": Embeds(outputs.maps_first, mean_over(2, 3)),
    "maps_whole": Embeds(
        outputs.maps, lambda m, x: tf.reshape(called(m, x), [len(x), -1]), option(pooling="none")
    ),
    "cube_last": Embeds(outputs.cube, mean_over(1, 2), option(output_layout="channels_last")),
    "cube_first": Embeds(
        outputs.cube_first, mean_over(2, 3), option(output_layout="channels_first")
    ),
    "cube_of_any_size": Embeds(outputs.cube_of_any_size, mean_over(1, 2), option(input_size=SIZE)),
    "cube_first_of_any_size": Embeds(
        outputs.cube_first_of_any_size, mean_over(2, 3), option(input_size=SIZE)
    ),
    "one_by_one": Embeds(outputs.one_by_one, mean_over(1, 2)),
    "one_by_one_first": Embeds(outputs.one_by_one_first, mean_over(2, 3)),
    **{
        f"tokens_{extra}_mean": Embeds(outputs.tokens(extra), mean_over(1), option(pooling="mean"))
        for extra in (0, 5)
    },
    **{
        f"tokens_{extra}_mean_patches": Embeds(
            outputs.tokens(extra),
            lambda m, x: tf.reduce_mean(called(m, x)[:, -64:], 1),
            option(pooling="mean_patches"),
        )
        for extra in (0, 1, 5)
    },
    "tokens_cls": Embeds(outputs.tokens(5), lambda m, x: called(m, x)[:, 0], option(pooling="cls")),
    "tokens_whole": Embeds(
        outputs.tokens(1),
        lambda m, x: tf.reshape(called(m, x), [len(x), 65 * FEATURES]),
        option(pooling="none"),
    ),
    "tokens_first": Embeds(
        outputs.tokens_first,
        mean_over(2),
        option(pooling="mean", output_layout="channels_first"),
    ),
    "one_token": Embeds(outputs.one_token, mean_over(1)),
    "hugging_face": Embeds(
        outputs.hugging_face, key("pooler_output"), option(output_key="pooler_output")
    ),
    "in_a_list": Embeds(outputs.in_a_list, key(0)),
    "one_number": Embeds(outputs.one_number),
    "out_float64": Embeds(outputs.cast(tf.float64)),
    "out_float16": Embeds(outputs.cast(tf.float16)),
    "out_bfloat16": Embeds(outputs.cast(tf.bfloat16), by="any"),
    "small_beside_large": Embeds(outputs.small_beside_large),
    "only_this_size": Embeds(outputs.only_this_size, options=option(input_size=SIZE)),
    "counts_its_calls": Embeds(faults.counts_its_calls, by="any"),
    "keras_for_inference": Embeds(faults.keras_for_inference, signed),
    "table_of_an_asset": Embeds(graphs.table_of_an_asset, by="none"),
    "table_of_constants": Embeds(graphs.table_of_constants, by="none"),
    "variable_of_any_length": Embeds(graphs.variable_of_any_length, by="any"),
    "variable_of_any_shape": Embeds(graphs.variable_of_any_shape, by="any"),
    "variable_of_strings": Embeds(graphs.variable_of_strings, by="none"),
    "half_variables": Embeds(graphs.half_variables),
    "through_strings": Embeds(graphs.through_strings, by="any"),
    "image_by_image": Embeds(graphs.one_by_one, by="any"),
    "in_a_loop": Embeds(graphs.in_a_loop, by="any"),
    "branches": Embeds(graphs.branches, by="any"),
    "checked": Embeds(graphs.checked, by="any"),
    "compiled_inside": Embeds(graphs.compiled_inside, by="any"),
    "constants_alone": Embeds(graphs.constants_alone),
    "sizes_of_the_data": Embeds(graphs.sizes_of_the_data, by="any"),
    "unknown_to_openvino": Embeds(graphs.unknown_to_openvino, by="xla"),
    "resized": Embeds(graphs.resized, options=option(input_size=SIZE), by="any"),
    "tf1": Embeds(lambda path: exports.tensorflow_1(path, [["serve"]]), signed),
    "tf1_other_tag": Embeds(lambda path: exports.tensorflow_1(path, [["tpu"]]), signed),
    "tf1_no_tag": Embeds(lambda path: exports.tensorflow_1(path, [[]], "default"), signed),
    "tf1_old_variables": Embeds(
        lambda path: exports.tensorflow_1(path, [["serve"]], legacy=True), signed, by="none"
    ),
    "tf1_told_whether_training": Embeds(
        lambda path: exports.tensorflow_1(path, [["serve"]], told_whether_training=True),
        lambda m, x: m.signatures["serving_default"](
            images=floats(x), is_training=tf.constant(False)
        )["default"],
    ),
    **{
        f"tf1_tags_{'_'.join(tags)}": Embeds(
            lambda path: exports.tensorflow_1(path, [["serve"], ["serve", "tpu"], ["train"]]),
            signed,
            option(tags=tags),
        )
        for tags in (("serve",), ("tpu", "serve"), ("train",))
    },
    "tf1_hub_without_tag": Embeds(
        lambda path: exports.tensorflow_1(path, [[], ["train"]], "default"),
        signed,
        option(tags=("",)),
    ),
}


@pytest.mark.parametrize("name", EMBEDS)
def test_embeds(tmp_path: Path, name: str) -> None:
    case = EMBEDS[name]
    case.build(tmp_path / "m")
    embedder = Embedder.from_settings(
        ModelSettings(str(tmp_path / "m"), batch_size=4, **case.options)
    )
    if case.by != "any":
        assert embedder.compile_used == case.by, embedder.fallback
    # The plain call says why it serves.
    assert (embedder.compile_used == "openvino") == (embedder.fallback is None)
    pixels = models.noise(5, SIZE)
    tags = case.options.get("tags")
    model = tf.saved_model.load(
        str(tmp_path / "m"), tags=None if tags is None else [tag for tag in tags if tag]
    )
    expected = tf.cast(case.direct(model, pixels), tf.float32).numpy()
    embeddings = embedder.embed(pixels)
    assert embeddings.shape == expected.shape
    cosine, difference = compare(embeddings, expected)
    assert cosine >= 0.9999
    assert difference < 0.005


REFUSED: dict[str, tuple[Build, str, dict[str, Any]]] = {
    "in_int8": (inputs.of_dtype(tf.int8), "int8 .*wrap the model", {}),
    "one_image": (inputs.one_image, r"does not take one batch .*\(32, 32, 3\).*wrap the model", {}),
    "flat_pixels": (inputs.flat_pixels, "does not take one batch of images .*wrap the model", {}),
    "video": (inputs.video, "does not take one batch of images .*wrap the model", {}),
    "four_channels": (inputs.four_channels, "does not take one batch .*wrap the model", {}),
    "encoded": (inputs.encoded, "string .*image_bytes.*--signature .*wrap the model", {}),
    "two_images": (inputs.two_images, "left.*right.*--signature .*wrap the model", {}),
    "with_temperature": (inputs.with_temperature, "temperature.*--signature .*wrap", {}),
    "no_size": (inputs.any_size, "any size, so --input_size must say which", {}),
    "cube": (outputs.cube, "--output_layout channels_last reads .*channels_first reads", {}),
    "tokens": (outputs.tokens(1), "65 tokens of 12 features: choose by --pooling", {}),
    "hugging_face": (outputs.hugging_face, "last_hidden_state, pooler_output.*--output_key", {}),
    "nested": (outputs.nested, "choose another output by --output_key, or wrap the model", {}),
    **{
        f"out_{dtype.name}": (outputs.cast(dtype), "not a tensor of floats: .*--output_key", {})
        for dtype in (tf.int32, tf.complex64, tf.bool)
    },
    "classes": (outputs.classes, "answers int64, not a tensor of floats", {}),
    "scalars": (outputs.scalars, "not with a vector .*--output_key, or wrap the model", {}),
    "no_batch": (outputs.no_batch, "with shape .*wrap the model", {}),
    "one_row": (outputs.one_row, r"answers 3 images with shape \[1, 12\].*wrap the model", {}),
    "joined": (outputs.joined, r"answers 3 images with shape \[1, 36\].*wrap the model", {}),
    "rows_of_patches": (outputs.rows_of_patches, r"shape \(64, 12\), not with one row", {}),
    "five_axes": (outputs.five_axes, "not with a vector .*wrap the model", {}),
    "no_features": (outputs.no_features, "not with a vector .*wrap the model", {}),
    "strings": (outputs.strings, "answers string, not a tensor of floats", {}),
    "nothing": (outputs.nothing, "not a tensor of floats", {}),
    "ragged": (outputs.ragged, "answers RaggedTensor, not a tensor of floats", {}),
    "sparse": (outputs.sparse, "answers SparseTensor, not a tensor of floats", {}),
    "never_finite": (outputs.never_finite, "NaN or infinity.*--input_range", {}),
    "zeros": (outputs.zeros, "every image with zeros: .*--output_key", {}),
    "the_same": (outputs.the_same, "every image with the same numbers: .*--output_key", {}),
    "saturated": (outputs.saturated, "every image with the same numbers: .*--input_range", {}),
    "wrong_size": (
        outputs.only_this_size,
        "fails on a grey 64x64 image: .*--input_size",
        option(input_size=64),
    ),
    **{
        name: (build, "another answer for an image .*training=False", {})
        for name, build in {
            "batch_norm": faults.batch_norm,
            "batch_norm_of_four": faults.batch_norm_of_four,
            "keras_batch_norm": faults.keras_batch_norm,
            "less_the_first": faults.less_the_first,
            "plus_those_before": faults.plus_those_before,
            "plus_those_after": faults.plus_those_after,
            "largest_of_all": faults.largest_of_all,
            "by_place": faults.by_place,
            "turned_over": faults.turned_over,
        }.items()
    },
    **{
        name: (build, "the same images again .*training=False", {})
        for name, build in {
            "dropout": faults.dropout,
            "flips": faults.flips,
            "brightness": faults.brightness,
            "crops": faults.crops,
            "noise": faults.noise,
            "generator": faults.generator,
            "counts_into_the_answer": faults.counts_into_the_answer,
            "keras_augmented": faults.keras_augmented,
        }.items()
    },
    "in_nchw_said_otherwise": (
        inputs.channels_first,
        "takes .*which does not have the channels where --input_layout channels_last says",
        option(input_layout="channels_last"),
    ),
    "drifts": (faults.drifts, "changes its variable .*when it is called.*training=False", {}),
    "python_function": (graphs.python_function, "Python .*export it .*docs/models.md", {}),
    "unknown_operation": (graphs.unknown_operation, "operation.*docs/models.md", {}),
    "tf1_two_graphs": (
        lambda path: exports.tensorflow_1(path, [["serve"], ["serve", "tpu"]]),
        "holds 2 graphs: choose by --tags serve or --tags serve tpu",
        {},
    ),
    "tf1_hub_two_graphs": (
        lambda path: exports.tensorflow_1(path, [[], ["train"]], "default"),
        "holds 2 graphs: choose by --tags '' or --tags train",
        {},
    ),
    "tf1_wrong_tags": (
        lambda path: exports.tensorflow_1(path, [["serve"]]),
        "has no graph of --tags gpu, only of --tags serve",
        option(tags=("gpu",)),
    ),
    "tf1_no_signature": (
        lambda path: exports.tensorflow_1(path, [["serve"]], None),
        "cannot be called itself; .*none.*docs/models.md",
        {},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    build, message, options = REFUSED[name]
    build(tmp_path / "m")
    with pytest.raises(InputError) as raised:
        Embedder.from_settings(ModelSettings(str(tmp_path / "m"), batch_size=4, **options))
    assert raised.value.kind == "bad_model"
    assert raised.value.message.startswith("model m: ")
    assert re.search(message, raised.value.message), raised.value.message
    assert "\n" not in raised.value.message
    assert len(raised.value.message) < 600
