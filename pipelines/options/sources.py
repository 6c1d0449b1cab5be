"""Flags for archives, directories and files of images, which several jobs share."""

from __future__ import annotations

import argparse
import glob
import os
from collections.abc import Iterable

from beamscope.pipelines.options.command_line import check_range
from beamscope.transforms.clutter import is_clutter_folder
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits
from beamscope.transforms.sources.names import ImageNames
from beamscope.transforms.sources.planning.inputs import check_has_images
from beamscope.transforms.sources.sources import Source, find_sources
from beamscope.transforms.storage import files

# The flags take their defaults from the dataclass, so that the command line and Python agree.
_LIMITS = Limits()


def add_limit_arguments(parser: argparse.ArgumentParser, noun: str) -> None:
    """Add the flags that limit what one image may ask for.

    Args:
      parser: of the job.
      noun: for an image, such as ``film``.
    """
    group = parser.add_argument_group(f"limits of one {noun}")
    group.add_argument(
        "--max_member_mb",
        type=int,
        default=_LIMITS.max_member_bytes >> 20,
        metavar="MB",
        help="maximum size after decompression in MiB (default: %(default)s)",
    )
    group.add_argument(
        "--max_compression_ratio",
        type=float,
        default=_LIMITS.max_compression_ratio,
        metavar="RATIO",
        help="maximum of decompressed bytes per stored byte (default: %(default)g)",
    )
    group.add_argument(
        "--max_pixels",
        type=int,
        default=_LIMITS.max_pixels,
        metavar="N",
        help="maximum of rows times columns; each pixel takes up to 20 bytes of memory "
        "(default: %(default)s)",
    )


def limits_from(args: argparse.Namespace) -> Limits:
    """Return what one image may ask for, from the flags.

    Raises:
      InputError: a flag has an invalid value.
    """
    check_range("--max_member_mb", args.max_member_mb, 1, 1 << 20)
    check_range("--max_compression_ratio", args.max_compression_ratio, 1, 1e9)
    check_range("--max_pixels", args.max_pixels, 1, 1 << 40)
    return Limits(args.max_member_mb << 20, args.max_compression_ratio, args.max_pixels)


def sources_from(patterns: Iterable[str], names: ImageNames) -> tuple[Source, ...]:
    """Return the sources that ``--input`` names, in an order that the flags do not change.

    Args:
      patterns: values of ``--input``.
      names: the names of the job's images.

    Raises:
      InputError: ``no_match``, ``no_image``; the message names the pattern.
    """
    found: list[str] = []
    for pattern in patterns:
        with files.refusals(Kind.NO_MATCH, "--input "):
            matched = _match(pattern)
        if not matched:
            raise InputError(
                Kind.NO_MATCH, f"--input {pattern}: matches no {names.noun} and no archive"
            )
        check_has_images(f"--input {pattern}", matched, names)
        found.extend(matched)
    with files.refusals(Kind.NO_MATCH, "--input "):
        return find_sources(found)


def _match(pattern: str) -> list[str]:
    if files.is_local(pattern):
        # A file whose name has brackets takes precedence over a glob.
        if os.path.exists(pattern):  # noqa: PTH110 (a Path raises where the name is too long)
            return [pattern]
        matched = glob.glob(pattern, recursive=True)  # noqa: PTH207
        # Trash folders count only if the user names them.
        return [path for path in matched if not is_clutter_folder(os.path.basename(path))]  # noqa: PTH119
    if files.is_directory(pattern):
        return [files.join(pattern, "")]
    return [file.path for file in files.match(pattern)]
