"""Flags for the output: what to write, and where."""

from __future__ import annotations

import argparse

from beamscope.pipelines.options.command_line import check_range, place
from beamscope.transforms.formats.registry import FORMATS
from beamscope.transforms.output.schema import EMBEDDING_DTYPES
from beamscope.transforms.output.shards import IMAGES_PER_SHARD, ROWS_PER_SHARD, ShardFormat

_DEFAULTS = ShardFormat()


def add_output_arguments(parser: argparse.ArgumentParser, *, images: bool = False) -> None:
    """Add the flags that every job has for its output.

    Args:
      parser: of the job.
      images: whether the job writes encoded images, and no embeddings.
    """
    formats = [form for form in FORMATS if images or not form.images_only]
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output",
        required=True,
        metavar="DIR",
        type=place("--output"),
        help="directory of the dataset, local, gs:// or s3://",
    )
    group.add_argument(
        "--format",
        nargs="+",
        choices=[form.name for form in formats],
        default=list(_DEFAULTS.formats),
        help="; ".join(f"{form.name}: {form.summary}" for form in formats)
        + "; with several formats, each holds every row "
        f"(default: {' '.join(_DEFAULTS.formats)})",
    )
    group.add_argument(
        "--num_shards",
        type=int,
        metavar="N",
        help="number of shards (default: one for every "
        f"{IMAGES_PER_SHARD if images else ROWS_PER_SHARD:,} rows)",
    )
    if images:
        parser.set_defaults(dtype=_DEFAULTS.dtype)
    else:
        group.add_argument(
            "--dtype",
            choices=EMBEDDING_DTYPES,
            default=_DEFAULTS.dtype,
            help="dtype of the embeddings in the shards (default: %(default)s)",
        )
    rest = group.add_mutually_exclusive_group()
    rest.add_argument(
        "--add",
        action="store_true",
        help="keep the items that the output already holds, and add the requested ones",
    )
    rest.add_argument(
        "--only_these",
        action="store_true",
        help="drop items from the output that are not requested now; their finished parts stay in "
        ".beamscope",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="delete the embeddings of earlier runs in the output, and start anew; plans with the "
        "same settings are used again",
    )
    group.add_argument(
        "--max_failed",
        type=float,
        default=0.1,
        metavar="FRACTION",
        help="exit with status 3 if more than this fraction of the items fails, 0 to 1 "
        "(default: %(default)g)",
    )
    group.add_argument(
        "--item_timeout",
        type=float,
        default=900,
        metavar="SECONDS",
        help="planning an item, reading a block, or embedding it may take so long; a process that "
        "takes longer is ended and started again, and what it was at is left out when that has "
        "happened twice; 0 for no limit (default: %(default)g)",
    )


def add_telling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that decide what a job says and whether it runs."""
    group = parser.add_argument_group("what it does and says")
    group.add_argument(
        "--dry_run",
        action="store_true",
        help="check the flags, the inputs, the model and the output, say what would be done, and "
        "stop; nothing is written",
    )
    group.add_argument(
        "--verbose",
        action="store_true",
        help="show the lines of the log file, and in the summary the counts of plans and blocks",
    )


def shard_format_from(args: argparse.Namespace) -> ShardFormat:
    """Return the form of the shards, from the flags.

    Raises:
      InputError: a flag has an invalid value.
    """
    if args.num_shards is not None:
        check_range("--num_shards", args.num_shards, 1, 99_999)
    check_range("--max_failed", args.max_failed, 0, 1)
    check_range("--item_timeout", args.item_timeout, 0, 1_000_000)
    return ShardFormat(tuple(dict.fromkeys(args.format)), args.num_shards, args.dtype)
