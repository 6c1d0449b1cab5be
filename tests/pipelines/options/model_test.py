import argparse

import pytest

from beamscope.pipelines.options.model import add_model_arguments, model_settings_from
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError


def parse(*arguments: str, positional: bool = False) -> ModelSettings:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_model_arguments(parser.add_argument_group("model"), positional=positional)
    return model_settings_from(parser.parse_args(arguments))


def test_defaults_are_those_of_the_settings() -> None:
    assert parse("--model", "m") == ModelSettings("m")
    assert parse("m", positional=True) == ModelSettings("m")


def test_every_option_reaches_the_settings() -> None:
    settings = parse(
        *("--model", "gs://b/m", "--signature", "s", "--output_key", "k", "--input_size", "96"),
        *("--input_dtype", "float16", "--input_range=0..1", "--batch_size", "7"),
        *("--compile", "graph", "--precision", "bfloat16", "--tags", "serve", "tpu"),
        *("--input_layout", "channels_first", "--output_layout", "channels_last"),
        *("--pooling", "cls", "--model_sha256", "0F" * 32),
        *("--input_mean", "0.5", "0.4", "0.3", "--input_std", "1", "1", "1"),
        *("--channel_order", "bgr"),
    )
    assert settings == ModelSettings(
        uri="gs://b/m",
        tags=("serve", "tpu"),
        signature="s",
        output_key="k",
        input_size=96,
        input_dtype="float16",
        input_range="0..1",
        input_mean=(0.5, 0.4, 0.3),
        input_std=(1.0, 1.0, 1.0),
        channel_order="bgr",
        input_layout="channels_first",
        output_layout="channels_last",
        pooling="cls",
        model_sha256="0F" * 32,
        batch_size=7,
        compile="graph",
        precision="bfloat16",
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--model", "m", "--compile", "jit"], argparse.ArgumentError),
        (["--model", "m", "--input_dtype", "int8"], argparse.ArgumentError),
        (["--model", "m", "--batch_size", "0"], InputError),
        (["--model", "m", "--precision", "tf32"], argparse.ArgumentError),
        (["--model", "m", "--pooling", "max"], argparse.ArgumentError),
    ],
)
def test_errors(arguments: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(*arguments)
