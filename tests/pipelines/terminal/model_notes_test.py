"""What a job says of a model before it starts."""

import pytest

from beamscope.pipelines.terminal.model_notes import say_about_call
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec


def spec(shape=(8,), range_source="option"):
    return ModelSpec(
        backend="onnx", name="m", digest="x", called="session", input_name="images", input_size=16,
        size_source="model", input_dtype="float32", input_layout="channels_last", input_channels=3,
        input_range="0..1", range_source=range_source, output_key=None, output_shape=shape,
        output_layout="channels_last", pooling="none", first_patch=0, features=8,
    )  # fmt: skip


NOT_USED = "is not used: the model answers an image with one vector"


@pytest.mark.parametrize(
    ("settings", "called", "said"),
    [
        ({}, spec(), []),
        ({}, spec(range_source="assumed"), ["input range 0..1 is assumed"]),
        ({"output_layout": "channels_last"}, spec((2, 2, 8)), []),
        ({"output_layout": "channels_last"}, spec(), [NOT_USED]),
        (
            {"output_layout": "channels_first"},
            spec(range_source="assumed"),
            ["input range 0..1 is assumed", NOT_USED],
        ),
    ],
)
def test_one_line_for_each_thing(capsys, settings, called, said):
    say_about_call(ModelSettings("m", **settings), called)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(said)
    for line, text in zip(lines, said, strict=True):
        assert line.startswith("model m: ")
        assert text in line
