import argparse
from pathlib import Path

import pytest

from beamscope.pipelines.options.model import (
    add_model_arguments,
    model_settings_from,
    with_model_card,
)
from beamscope.pipelines.options.several_models import arguments_of_each
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError


def parse(*arguments: str, positional: bool = False) -> ModelSettings:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_model_arguments(parser.add_argument_group("model"), positional=positional)
    args = parser.parse_args(arguments)
    return model_settings_from(args if positional else arguments_of_each(args)[0])


def with_card(*arguments: str) -> ModelSettings:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_model_arguments(parser.add_argument_group("model"))
    parser.add_argument("--mpp", type=float, default=0.5)
    args = arguments_of_each(parser.parse_args(arguments))[0]
    return with_model_card(model_settings_from(args), args)


def test_another_resolution_than_the_card_recommends_is_said() -> None:
    flags = ("--model", "m", "--preset", "h-optimus-0")
    said = "the card recommends patches of 0.5 µm/px, not of 0.25 (--mpp)"
    assert said in with_card(*flags, "--mpp", "0.25").card_notes
    assert not any("recommends" in note for note in with_card(*flags).card_notes)


def test_defaults_are_those_of_the_settings() -> None:
    assert parse("--model", "m") == ModelSettings("m")
    assert parse("m", positional=True) == ModelSettings("m")


def test_a_card_fills_what_is_not_given(tmp_path: Path) -> None:
    card = tmp_path / "c.yaml"
    card.write_text("input_size: 224\ninput_range: -1..1\n")
    settings = with_card("--model", "m", "--model_card", str(card), "--input_size", "96")
    assert (settings.input_size, settings.input_range) == (96, "-1..1")
    assert "--input_size 96 instead of the card's 224" in settings.card_notes
    assert with_card("--model", "m", "--preset", "conch").input_size == 448


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
