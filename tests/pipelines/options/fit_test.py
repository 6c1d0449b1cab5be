import argparse

import pytest

from beamscope.pipelines.options.fit import fit_method, fit_of_patches
from beamscope.pipelines.options.images import add_image_arguments, image_settings_from
from beamscope.pipelines.options.xrays import add_xray_arguments, xray_settings_from
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.fit import Fit


def model(resize=None):
    return ModelSettings("/models/uni", card="c.yaml", card_resize=resize)


@pytest.mark.parametrize(
    ("flag", "card", "expected", "why"),
    [
        (None, None, "resize", "--fit resize"),
        (None, "bicubic", "bicubic", "resize: bicubic of its card"),
        (None, "area", "resize", "resize: area of its card"),
        ("crop", None, "crop", "--fit crop"),
        ("crop", "bicubic", "crop", "--fit crop instead of the card's resize: bicubic"),
        ("bicubic", "bicubic", "bicubic", "--fit bicubic"),
        ("resize", "area", "resize", "--fit resize"),
    ],
)
def test_a_flag_counts_before_the_card(flag, card, expected, why, capsys):
    args = argparse.Namespace(fit=flag)
    assert fit_method(args, model(card)) == (expected, why)
    done = "cropped to the middle" if expected == "crop" else "resized to"
    assert fit_of_patches(args, 256, 224, model(card)) == Fit(expected, 224)
    said = capsys.readouterr().err
    assert said == f"patches of 256 px are {done} 224 px for the model uni ({why})\n"


def test_patches_of_the_models_size_stay(capsys):
    assert fit_of_patches(argparse.Namespace(fit=None), 224, 224, model("bicubic")) is None
    assert capsys.readouterr().err == ""
    assert fit_of_patches(argparse.Namespace(fit="lanczos"), 224, 224, None) is None
    assert "--fit lanczos: has no effect" in capsys.readouterr().err


def test_nothing_is_cropped_from_less():
    with pytest.raises(InputError, match="--fit crop: a patch of 200 px is smaller than"):
        fit_of_patches(argparse.Namespace(fit="crop"), 200, 224, None)


@pytest.mark.parametrize(
    ("flags", "card", "expected"),
    [([], "bicubic", "bicubic"), (["--fit", "crop"], "bicubic", "crop"), ([], None, "resize")],
)
def test_images_are_fitted_as_the_card_says(flags, card, expected, capsys):
    parser = argparse.ArgumentParser()
    add_image_arguments(parser)
    args = parser.parse_args(["--input", "DIR", *flags])
    assert image_settings_from(args, 224, model(card)).fit.method == expected
    said = capsys.readouterr().err
    assert (card is None) == (said == "")
    if card is not None:
        assert said.startswith("images of another size are fitted by ")


@pytest.mark.parametrize("card", [None, "bicubic"])
def test_films_say_that_the_card_is_not_used(card, capsys):
    parser = argparse.ArgumentParser()
    add_xray_arguments(parser)
    args = parser.parse_args(["--input", "DIR", "--preprocess", "pad"])
    assert xray_settings_from(args, model(card), 224).films.preprocess.kind == "pad"
    said = "resize: bicubic of the model card is not used: films are prepared by --preprocess pad\n"
    assert capsys.readouterr().err == ("" if card is None else said)
