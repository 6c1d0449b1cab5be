"""Where the range of a model's input comes from."""

from __future__ import annotations

import pytest

from beamscope.transforms.inference.input_values import input_values
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError


@pytest.mark.parametrize(
    ("dtype", "given", "input_range", "source"),
    [
        ("float32", None, "0..1", "assumed"),
        ("float32", "-1..1", "-1..1", "option"),
        ("uint8", None, "0..255", "dtype"),
        ("int32", None, "0..255", "dtype"),
        ("uint8", "0..255", "0..255", "dtype"),
        ("uint16", None, "0..255", "assumed"),
        ("int16", None, "0..255", "assumed"),
        ("uint16", "0..255", "0..255", "option"),
    ],
)
def test_where_the_range_comes_from(
    dtype: str, given: str | None, input_range: str, source: str
) -> None:
    found = input_values("m", ModelSettings("m", input_range=given), dtype)
    assert (found.input_range, found.range_source) == (input_range, source)


def test_integers_take_grey_levels() -> None:
    with pytest.raises(InputError, match="takes uint16, which rules out --input_range"):
        input_values("m", ModelSettings("m", input_range="0..1"), "uint16")
