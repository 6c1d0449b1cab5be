"""Flags that say what is written and where."""

from __future__ import annotations

import argparse

from beamscope.pipelines.options.command_line import check_range, place
from beamscope.transforms.formats.registry import FORMATS
from beamscope.transforms.output.schema import EMBEDDING_DTYPES
from beamscope.transforms.output.shards import ROWS_PER_SHARD, ShardFormat

_DEFAULTS = ShardFormat()


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that every job has for its output."""
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
        choices=FORMATS.names(),
        default=list(_DEFAULTS.formats),
        help="; ".join(f"{form.name}: {form.summary}" for form in FORMATS)
        + f"; several write each row in each (default: {' '.join(_DEFAULTS.formats)})",
    )
    group.add_argument(
        "--num_shards",
        type=int,
        metavar="N",
        help=f"number of shards (default: one for every {ROWS_PER_SHARD:,} rows)",
    )
    group.add_argument(
        "--dtype",
        choices=EMBEDDING_DTYPES,
        default=_DEFAULTS.dtype,
        help="of the embeddings as written (default: %(default)s)",
    )
    rest = group.add_mutually_exclusive_group()
    rest.add_argument(
        "--add",
        action="store_true",
        help="add what is asked for to what the output holds already",
    )
    rest.add_argument(
        "--only_these",
        action="store_true",
        help="drop from the output what is not asked for now; what was embedded of it stays in "
        ".beamscope",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="delete what an earlier run embedded in the output, and start anew; plans that were "
        "made with the same settings serve again",
    )
    group.add_argument(
        "--max_failed",
        type=float,
        default=0.1,
        metavar="FRACTION",
        help="exit with status 3 when more than this fraction, 0 to 1, failed "
        "(default: %(default)g)",
    )


def shard_format_from(args: argparse.Namespace) -> ShardFormat:
    """The shards that the flags ask for.

    Raises:
      InputError: a value makes no sense.
    """
    if args.num_shards is not None:
        check_range("--num_shards", args.num_shards, 1, 99_999)
    check_range("--max_failed", args.max_failed, 0, 1)
    return ShardFormat(tuple(dict.fromkeys(args.format)), args.num_shards, args.dtype)
