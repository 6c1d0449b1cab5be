"""Flags for the model and how it is called."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

from beamscope.pipelines.options.command_line import place
from beamscope.pipelines.options.several_models import named_model
from beamscope.transforms.inference.backends.registry import BACKENDS, compiler_summaries
from beamscope.transforms.inference.cards.apply import with_card_of
from beamscope.transforms.inference.cards.find_card import presets
from beamscope.transforms.inference.foreign_models import address_remedy, file_remedy
from beamscope.transforms.inference.model_settings import (
    CHANNEL_ORDERS,
    INPUT_DTYPES,
    LAYOUTS,
    POOLINGS,
    PRECISIONS,
    ModelSettings,
)
from beamscope.transforms.inference.preprocessing import INPUT_RANGES
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.resolution import mpp_of_magnification
from beamscope.transforms.storage.uris import is_local


def model_place(flag: str) -> Callable[[str], str]:
    """Return an argparse type for a model: a path or URI that may be one, as by its name.

    Raises:
      InputError: the type raises ``bad_model`` for addresses of hubs and files that are no models,
        with what to do; else as `place`.
    """

    def convert(text: str) -> str:
        remedy = address_remedy(text)
        if remedy is None:
            uri = place(flag)(text)
            path = Path(uri)
            if not is_local(uri) or path.is_file() or path.suffix == ".mlpackage":
                remedy = file_remedy(uri)
        if remedy is not None:
            raise InputError(Kind.BAD_MODEL, f"{flag} {text}: {remedy}")
        return uri

    return convert


def add_model_arguments(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
    *,
    positional: bool = False,
    required: bool = True,
) -> None:
    """Add the flags. The model is ``--model``, or a positional argument.

    Each other flag has the name and the default of a field of `ModelSettings`.

    Args:
      parser: where to add them.
      positional: whether the model is a positional argument.
      required: whether ``--model`` has to be given.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(ModelSettings)}
    model = " or ".join(backend.summary for backend in BACKENDS) + ", local or remote"
    if positional:
        parser.add_argument("model", metavar="MODEL", type=model_place("model"), help=model)
    else:
        parser.add_argument(
            "--model",
            metavar="MODEL",
            type=named_model(model_place("--model")),
            action="append",
            required=required,
            help=f"{model}; several times for several models, which read each block once: each "
            "fills a column embedding_NAME, by default named as its directory (NAME=MODEL); the "
            "flags below hold for all of them",
        )
    add_card_arguments(parser)
    parser.add_argument(
        "--tags",
        metavar="TAG",
        nargs="+",
        help="tags of the graph to load from a SavedModel with several graphs (default: serve, or "
        "the tags of the only graph)",
    )
    parser.add_argument(
        "--signature",
        metavar="NAME",
        help="signature to call (default: the model object if it can be called, else "
        "serving_default, else the only signature)",
    )
    parser.add_argument(
        "--output_key",
        metavar="KEY",
        help="output to use of a model with several outputs (default: the only one)",
    )
    parser.add_argument(
        "--input_size",
        metavar="PIXELS",
        type=int,
        help="height and width of the model's input in pixels (default: 224 for REMEDIS path "
        "models, 448 for cxr ones, else the model's own)",
    )
    parser.add_argument(
        "--input_dtype",
        choices=INPUT_DTYPES,
        help="dtype to use for a model that accepts several dtypes (default: the first)",
    )
    parser.add_argument(
        "--input_range",
        choices=tuple(INPUT_RANGES),
        help="input values for black and white; write --input_range=-1..1 with the equals sign "
        "(default: 0..255 for integers, 0..1 for floats)",
    )
    parser.add_argument(
        "--input_mean",
        metavar="MEAN",
        type=float,
        nargs="+",
        help="numbers to subtract from values of --input_range: one, or one for each channel in "
        "the model's order, such as 0.485 0.456 0.406 (default: none)",
    )
    parser.add_argument(
        "--input_std",
        metavar="STD",
        type=float,
        nargs="+",
        help="numbers to divide by after --input_mean, such as 0.229 0.224 0.225 (default: none)",
    )
    parser.add_argument(
        "--channel_order",
        choices=CHANNEL_ORDERS,
        help="order of the channels that the model was trained with (default: rgb)",
    )
    parser.add_argument(
        "--input_layout",
        choices=LAYOUTS,
        help="position of the channels in the input's shape (default: found from that shape)",
    )
    parser.add_argument(
        "--output_layout",
        choices=LAYOUTS,
        help="position of the features in the shape of a feature map or of tokens (default: found "
        "from that shape)",
    )
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="for tokens (no default): cls takes the first, mean averages all, mean_patches "
        "averages the patch tokens, cls_mean_patches joins cls and mean_patches, none takes all "
        "numbers; for feature maps: mean or none (default: mean)",
    )
    parser.add_argument(
        "--batch_size",
        metavar="N",
        type=int,
        default=defaults["batch_size"],
        help="images per call of the model; a larger number suits a GPU (default: %(default)s)",
    )
    compilers = compiler_summaries()
    listed = "; ".join(f"{name}: {summary}" for name, summary in compilers.items())
    parser.add_argument(
        "--compile",
        choices=("auto", *compilers, "none"),
        default=defaults["compile"],
        help=f"{listed}; none: the model's own function; auto: the first of these that works on "
        "this machine (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=defaults["precision"],
        help="precision of the model's arithmetic; bfloat16: on processors that support it, with "
        "openvino or graph; float16: on GPUs, with xla; both are faster, and the job prints the "
        "cosine with float32; auto: float32 (default: %(default)s)",
    )
    parser.add_argument(
        "--model_sha256",
        metavar="HEX",
        action="store" if positional else "append",
        help="refuse a model whose files have another digest; a model is a program that runs with "
        "your rights (check-model and dataset.json have the digest; default: any)"
        + ("" if positional else "; of several models, once for each, in their order"),
    )


def add_card_arguments(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
) -> None:
    """Add the flags that name a model card."""
    parser.add_argument(
        "--preset",
        choices=presets(),
        metavar="NAME",
        help="prepare images for this public model, as its card in beamscope says; other flags "
        f"count before it, and weights are yours to bring: {', '.join(presets())}",
    )
    parser.add_argument(
        "--model_card",
        metavar="FILE.yaml",
        type=place("--model_card"),
        help="YAML file that says how the model is called, local or remote; other flags count "
        "before it; none: without any (default: beamscope.yaml or model.yaml in the model's "
        "directory, or MODEL.yaml beside MODEL.onnx)",
    )


def model_settings_from(args: argparse.Namespace) -> ModelSettings:
    """Return the settings of a model, from the flags.

    Args:
      args: the parsed flags; of a job, those of one model (`several_models.arguments_of_each`).

    Raises:
      InputError: ``bad_option`` for an invalid value.
    """
    others = {"uri", "flexible_size"}
    others |= {"token_pooling", "features", "card", "from_card", "card_notes"}
    others |= {"card_mpp", "card_resize"}
    names = {field.name for field in dataclasses.fields(ModelSettings)} - others
    values = {name: getattr(args, name) for name in names}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return ModelSettings(uri=str(args.model), **(values | lists))


def with_model_card(settings: ModelSettings, args: argparse.Namespace) -> ModelSettings:
    """Return the settings of the model with what its card says; it may be read from a store.

    Raises:
      InputError: ``bad_card`` for an invalid model card; ``bad_option``.
    """
    found = with_card_of(settings, card=args.model_card, preset=args.preset)
    mpp = getattr(args, "mpp", None)
    if getattr(args, "magnification", None) is not None:
        mpp = mpp_of_magnification(args.magnification)
    if mpp is None or found.card_mpp is None or math.isclose(found.card_mpp, mpp):
        return found
    note = f"the card recommends patches of {found.card_mpp:g} µm/px, not of {mpp:g} (--mpp)"
    return dataclasses.replace(found, card_notes=(*found.card_notes, note))
