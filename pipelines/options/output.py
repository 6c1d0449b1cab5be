"""Flags that say what is written and where."""

from __future__ import annotations

import argparse

from beamscope.transforms.output.schema import EMBEDDING_DTYPES
from beamscope.transforms.output.shards import FORMATS, ROWS_PER_SHARD, ShardFormat
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that every job has for its output."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output", required=True, metavar="DIR", help="directory of the dataset, local or gs://"
    )
    group.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        default=["parquet"],
        help="of the shards; several write each row in each (default: parquet)",
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
        default="float32",
        help="of the embeddings as written (default: float32)",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="delete what an earlier run left in the output, and start anew",
    )
    group.add_argument(
        "--max_failed",
        type=float,
        default=0.1,
        metavar="FRACTION",
        help="exit with status 3 when more than this fraction failed, 0 to 1 (default: 0.1)",
    )


def shard_format_from(args: argparse.Namespace) -> ShardFormat:
    """The shards that the flags ask for.

    Raises:
      InputError: a value makes no sense.
    """
    if args.num_shards is not None and not 1 <= args.num_shards <= 99_999:
        raise InputError(Kind.BAD_OPTION, f"--num_shards {args.num_shards}: is not from 1 to 99999")
    if not 0 <= args.max_failed <= 1:
        raise InputError(Kind.BAD_OPTION, f"--max_failed {args.max_failed:g}: is not from 0 to 1")
    return ShardFormat(tuple(dict.fromkeys(args.format)), args.num_shards, args.dtype)
