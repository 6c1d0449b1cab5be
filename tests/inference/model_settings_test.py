from typing import Any

import pytest

from transforms.inference.model_settings import ModelSettings
from transforms.problems import InputError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compile": "jit"}, "compile 'jit' is not one of xla, graph, none"),
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
