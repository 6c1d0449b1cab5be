"""Flags for images that are patches already: which, their labels, and how they fit the model."""

from __future__ import annotations

import argparse
import dataclasses

from beamscope.pipelines.options.command_line import check_range, place
from beamscope.pipelines.options.fit import add_fit_argument, fit_method
from beamscope.pipelines.options.sources import add_limit_arguments, limits_from
from beamscope.pipelines.terminal.say import note
from beamscope.transforms.extra_columns import check_extra_names
from beamscope.transforms.images.fit import Fit
from beamscope.transforms.images.labels import LabelFile
from beamscope.transforms.images.settings import TABLE_SCHEMA, ImageSettings
from beamscope.transforms.inference.model_files import model_name
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_SETTINGS = {
    field.name: field.default for field in dataclasses.fields(ImageSettings)
}  # the flags take their defaults from the dataclass


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags for images, labels, fitting and limits."""
    group = parser.add_argument_group("which images")
    group.add_argument(
        "--input",
        nargs="+",
        type=place("--input"),
        required=True,
        metavar="GLOB",
        help=".zip, .tar, .tar.gz and .tgz archives, .jpg, .jpeg, .png, .tif and .tiff files, "
        "directories of these, or globs; local, gs:// or s3://",
    )
    group = parser.add_argument_group("labels")
    group.add_argument(
        "--labels",
        metavar="FILE",
        type=place("--labels"),
        help="CSV, plain or .gz, local, gs:// or s3://, with a row for each image (default: the "
        "folder that an image lies in is its label)",
    )
    group.add_argument(
        "--labels_key",
        metavar="COLUMN",
        help="the column of --labels that names the image by the end of its path (default: the "
        "first column)",
    )
    group.add_argument(
        "--label_column",
        metavar="COLUMN",
        help="the column of --labels that becomes the label; the others become the column catalog "
        "(default: label)",
    )
    group = parser.add_argument_group("pixels")
    add_fit_argument(group, "an image")
    group.add_argument(
        "--block_size",
        type=int,
        default=_SETTINGS["block_size"],
        metavar="N",
        help="images that are read, embedded and written together (default: %(default)s)",
    )
    group.add_argument(
        "--read_threads",
        type=int,
        default=_SETTINGS["threads"],
        metavar="N",
        help="threads that decode the images of a block; they take 2 GiB for that at most "
        "(default: %(default)s)",
    )
    add_limit_arguments(parser, "image")


def image_settings_from(
    args: argparse.Namespace, input_px: int, model: ModelSettings | None = None
) -> ImageSettings:
    """Return how to read images, from the flags.

    Args:
      args: the parsed flags.
      input_px: side of the model's input images in pixels.
      model: settings of the model, with its card; None where none is known.

    Raises:
      InputError: a flag has an invalid value, or the labels cannot be used.
    """
    check_range("--block_size", args.block_size, 1, 65_536)
    check_range("--read_threads", args.read_threads, 1, 1024)
    method, why = fit_method(args, model)
    if model is not None and model.card_resize is not None:
        note(f"images of another size are fitted by {why} for the model {model_name(model.uri)}")
    return ImageSettings(
        Fit(input_px, method),
        check_labels(args),
        limits_from(args),
        args.block_size,
        args.read_threads,
    )


def check_labels(args: argparse.Namespace) -> LabelFile | None:
    """Return the table of labels, after a look at it; None without one.

    Raises:
      InputError: a flag needs ``--labels``, or the table cannot be used.
    """
    if args.labels is None:
        for flag in ("labels_key", "label_column"):
            if getattr(args, flag) is not None:
                raise InputError(Kind.BAD_OPTION, f"--{flag} needs --labels")
        return None
    try:
        labels = LabelFile.find(args.labels, args.labels_key, args.label_column)
        names = labels.load().extra_names()
        check_extra_names(names, TABLE_SCHEMA.names, args.labels, "images.parquet")
    except InputError as error:
        raise InputError(error.kind, f"--labels {error.message}") from error
    return labels
