from typing import Any

import pytest

from beamscope.transforms.inference.model_settings import Compile, ModelSettings, Precision
from beamscope.transforms.problems import InputError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compile": "jit"}, "compile 'jit' is not one of auto, openvino, xla, graph, none"),
        ({"precision": "int8"}, "precision 'int8' is not one of auto, float32, bfloat16, float16"),
        (
            {"precision": "float16", "compile": "openvino"},
            "--precision float16: not with --compile openvino, only with xla",
        ),
        (
            {"precision": "bfloat16", "compile": "xla"},
            "--precision bfloat16: not with --compile xla, only with openvino or graph",
        ),
        ({"precision": "float16", "compile": "none"}, "not with --compile none"),
        ({"input_range": "0-1"}, "input_range '0-1' is not one of 0..1, -1..1, 0..255"),
        ({"input_dtype": "int8"}, "input_dtype 'int8'"),
        ({"batch_size": 0}, "batch_size 0 is not a positive number"),
        ({"input_size": -224}, "input_size -224 is not a positive number"),
    ],
)
def test_model_settings_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        ModelSettings(uri="m", **options)
    assert raised.value.kind == "bad_option"


@pytest.mark.parametrize(
    ("compile_by", "precision", "compiled_by", "computed_in"),
    [
        ("auto", "auto", "auto", "float32"),
        ("auto", "float32", "auto", "float32"),
        ("auto", "bfloat16", "openvino", "bfloat16"),
        ("graph", "bfloat16", "graph", "bfloat16"),
        ("auto", "float16", "xla", "float16"),
        ("none", "auto", "none", "float32"),
    ],
)
def test_what_a_run_is_known_by(
    compile_by: Compile, precision: Precision, compiled_by: Compile, computed_in: Precision
) -> None:
    settings = ModelSettings("m", compile=compile_by, precision=precision)
    assert (settings.compiled_by, settings.computed_in) == (compiled_by, computed_in)
