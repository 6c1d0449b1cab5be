import dataclasses
import json
from typing import Any

import pytest

from beamscope.transforms.fingerprints import declared_fields, settings_of
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec, Precision
from beamscope.transforms.problems import InputError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"precision": "int8"},
            "--precision must be one of auto, float32, bfloat16, float16, got 'int8'",
        ),
        ({"input_range": "0-1"}, "--input_range must be one of 0..1, -1..1, 0..255, got '0-1'"),
        ({"input_dtype": "int8"}, "--input_dtype must be one of float32, .*, got 'int8'"),
        ({"input_layout": "NCHW"}, "--input_layout must be one of channels_last, channels_first"),
        ({"output_layout": "last"}, "--output_layout must be one of channels_last"),
        (
            {"pooling": "max"},
            "--pooling must be one of none, mean, cls, mean_patches, .*, got 'max'",
        ),
        ({"batch_size": 0}, "--batch_size must be at least 1, got 0"),
        ({"model_sha256": "ab12"}, "--model_sha256 must be 64 hexadecimal digits, got 'ab12'"),
        ({"input_size": -224}, "--input_size must be at least 1, got -224"),
    ],
)
def test_model_settings_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        ModelSettings(uri="m", **options)
    assert raised.value.kind == "bad_option"


@pytest.mark.parametrize(
    ("precision", "computed_in"),
    [("auto", "float32"), ("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float16")],
)
def test_computed_in(precision: Precision, computed_in: Precision) -> None:
    assert ModelSettings("m", precision=precision).computed_in == computed_in


SPEC = ModelSpec(
    "saved_model", "m", "9f", "object", "images", 224, "model", "float32", "channels_last", 3,
    "0..1", "assumed", None, (7, 7, 64), "channels_last", "mean", 0, 64,
)  # fmt: skip


def test_what_enters_a_fingerprint() -> None:
    """What the settings are resolved to enters one, not what was asked for."""
    assert settings_of("embedding", ModelSettings("m")) == {}
    entering = {field.path for field in declared_fields(SPEC) if field.scope == "embedding"}
    # Names, sources and measurements tell a person something, and change no number.
    told = {
        *("name", "size_source", "range_source", "output_shape", "features", "fixed_batch"),
        *("cosine", "card", "from_card"),
    }
    assert {field.name for field in dataclasses.fields(ModelSpec)} == entering | told
    found = settings_of("embedding", SPEC)
    assert (found["model_digest"], found["model_pooling"]) == ("9f", "mean")
    assert (found["compile"], found["precision"]) == ("auto", "float32")


def test_spec_to_json() -> None:
    content = json.loads(json.dumps(SPEC.to_json()))
    assert content["output_shape"] == [7, 7, 64]
    assert content.keys() == {field.name for field in dataclasses.fields(ModelSpec)}
