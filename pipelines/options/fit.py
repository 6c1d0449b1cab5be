"""``--fit``: how an image of another size becomes a model's input."""

from __future__ import annotations

import argparse

from beamscope.pipelines.terminal.say import note
from beamscope.transforms.image_files.resizing import ResizeMethod, method_of_card
from beamscope.transforms.inference.model_files import model_name
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.fit import FIT_METHODS, Fit, FitMethod


def add_fit_argument(group: argparse._ArgumentGroup, image: str) -> None:
    """Add the flag.

    Args:
      group: of flags.
      image: what is fitted, with an article.
    """
    group.add_argument(
        "--fit",
        choices=FIT_METHODS,
        help=f"how {image} of another size becomes the model's input; resize: scale all of it, by "
        "area averaging; bilinear, bicubic, lanczos, nearest: scale by that filter, antialiased as "
        "Pillow does; crop: take its middle (default: as the model card says, else resize)",
    )


def fit_method(args: argparse.Namespace, model: ModelSettings | None) -> tuple[FitMethod, str]:
    """Return how images are fitted, and which flag or card says so.

    Args:
      args: the parsed flags.
      model: settings of the model, with its card; None where none is known.
    """
    given: FitMethod | None = getattr(args, "fit", None)
    by_card = _by_card(model)
    if given is not None:
        if by_card is None or by_card == given:
            return given, f"--fit {given}"
        assert model is not None
        return given, f"--fit {given} instead of the card's resize: {model.card_resize}"
    if by_card is None:
        return FIT_METHODS[0], f"--fit {FIT_METHODS[0]}"
    assert model is not None
    return by_card, f"resize: {model.card_resize} of its card"


def fit_of_patches(
    args: argparse.Namespace, patch_px: int, input_px: int, model: ModelSettings | None
) -> Fit | None:
    """Return how patches become the model's input; None where they have its size.

    Say it, because the model then sees another resolution, or less, than is asked for.

    Raises:
      InputError: ``bad_option``: the input cannot be cropped from patches.
    """
    if patch_px == input_px:
        if getattr(args, "fit", None):
            note(
                f"--fit {args.fit}: has no effect: patches have the {input_px} px of the model's "
                "input"
            )
        return None
    method, why = fit_method(args, model)
    if method == "crop" and patch_px < input_px:
        raise InputError(
            Kind.BAD_OPTION,
            f"--fit crop: a patch of {patch_px} px is smaller than the model's input of "
            f"{input_px} px; give a larger --patch_size, or --fit resize",
        )
    done = "cropped to the middle" if method == "crop" else "resized to"
    name = f"model {model_name(model.uri)}" if model is not None and model.uri else "model"
    note(f"patches of {patch_px} px are {done} {input_px} px for the {name} ({why})")
    return Fit(method, input_px)


def check_fit_is_said(
    args: argparse.Namespace, model: ModelSettings, fit: Fit | None, patch_px: int
) -> None:
    """Check that a flag or a card says how patches are fitted to one of several models.

    Raises:
      InputError: ``bad_option``: none does.
    """
    if fit is None or args.fit is not None or model.card_resize is not None:
        return
    raise InputError(
        Kind.BAD_OPTION,
        f"--model {model.uri}: takes images of {fit.input_px} px and patches have {patch_px}: say "
        "how its makers resize them, by `resize: bicubic` or the like in its card, or by --fit",
    )


def _by_card(model: ModelSettings | None) -> ResizeMethod | None:
    if model is None or model.card_resize is None:
        return None
    return method_of_card(model.card_resize)
