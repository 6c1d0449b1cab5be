"""`beamscope export`: write a dataset in the formats of other programs."""

from __future__ import annotations

import argparse
import collections
from collections.abc import Sequence

from tqdm import tqdm

from beamscope.pipelines.options.command_line import Parser, place
from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.opening import open_dataset
from beamscope.transforms.export.base import Exporter, ExportSettings
from beamscope.transforms.export.export import Exported, export_dataset
from beamscope.transforms.export.registry import EXPORTERS
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files


def run(argv: Sequence[str]) -> int:
    """Export a dataset with the flags of a command line.

    Raises:
      InputError: a flag is wrong, or the dataset cannot be exported so.
    """
    args = _parser().parse_args(list(argv))
    _check(args)
    dataset = open_dataset(args.dataset)
    exporter = _exporter(dataset, args)
    only = _known(dataset, args.only)
    with tqdm(unit=" files", leave=False, disable=None) as bar:

        def show(total: int) -> None:
            bar.update(0 if bar.total is None else 1)
            bar.total = total
            bar.refresh()

        done = export_dataset(dataset, exporter, args.output, only, show)
    lines = _summary(dataset, exporter, args, done)
    print("\n".join(f"  {label:<9} {text}" for label, text in lines))
    return 0


def _parser() -> Parser:
    formats = "; ".join(f"{name}: {EXPORTERS.summary(name)}" for name in EXPORTERS.names())
    parser = Parser(
        prog="beamscope export",
        description="Write a finished dataset in the format of another program: a file for each "
        "slide, or for each shard of films. docs/reading.md has the details.",
        epilog="example: beamscope export OUTPUT --to geojson --scores attention.csv "
        "--output HEATMAPS",
    )
    parser.add_argument(
        "dataset", metavar="OUTPUT", type=place("OUTPUT"), help="output directory of the job"
    )
    parser.add_argument(
        "--to", required=True, choices=EXPORTERS.names(), metavar="FORMAT", help=formats
    )
    parser.add_argument(
        "--output", required=True, type=place("--output"), metavar="DIR",
        help="directory to write to, local, gs:// or s3://; files of the same names are replaced",
    )  # fmt: skip
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="ID", help="write only the slides with these ids"
    )
    parser.add_argument(
        "--embedding", metavar="COLUMN",
        help="the column of embeddings, if the dataset has several",
    )  # fmt: skip
    parser.add_argument(
        "--column", metavar="COLUMN",
        help="geojson: the column that colours the patches, of the dataset (default: tissue) or of "
        "--scores",
    )  # fmt: skip
    parser.add_argument(
        "--scores", type=place("--scores"), metavar="FILE",
        help="geojson: colour by a CSV or Parquet file of slide_id, x_level0, y_level0 and a score",
    )  # fmt: skip
    parser.add_argument(
        "--range", nargs=2, type=float, metavar=("LOW", "HIGH"),
        help="geojson: the values of the darkest and the brightest colour (default: the lowest and "
        "highest of all slides)",
    )  # fmt: skip
    return parser


def _check(args: argparse.Namespace) -> None:
    if args.range and not args.range[0] < args.range[1]:
        low, high = args.range
        raise InputError(
            Kind.BAD_OPTION, f"--range {low:g} {high:g}: the first must be smaller than the second"
        )
    inside = args.output.rstrip("/") == args.dataset.rstrip("/") or args.output.startswith(
        files.join(args.dataset.rstrip("/"), "embeddings")
    )
    if inside:
        raise InputError(
            Kind.BAD_OPTION, f"--output {args.output}: choose a directory outside of the dataset's"
        )


def _exporter(dataset: Dataset, args: argparse.Namespace) -> Exporter:
    kind = EXPORTERS.get(args.to)
    if not kind.films and "x_level0" not in dataset.columns:
        others = [name for name in EXPORTERS.names() if EXPORTERS.get(name).films]
        raise InputError(
            Kind.NOT_FOR_FILMS,
            f"--to {args.to}: is for patches of slides, and {dataset.root} has "
            f"{dataset.table_name}; use one of {', '.join(others)}",
        )
    if args.only and "x_level0" not in dataset.columns:
        raise InputError(Kind.BAD_OPTION, "--only: chooses slides, and the dataset has none")
    for flag in ("column", "scores", "range"):
        if getattr(args, flag) and not kind.uses_colours:
            raise InputError(Kind.BAD_OPTION, f"--{flag}: --to {args.to} has no colours")
    limits = tuple(args.range) if args.range else None
    settings = ExportSettings(args.embedding, args.column, args.scores, limits)
    try:
        return kind(dataset, settings)
    except InputError as error:
        if error.kind != Kind.MISSING_PACKAGE:
            raise
        raise InputError(error.kind, f"--to {args.to}: {error.message}") from error


def _known(dataset: Dataset, only: Sequence[str]) -> Sequence[str]:
    """Refuse ids that the dataset does not hold, before anything is written."""
    for slide_id in only:
        dataset.require(slide_id)
    return tuple(dict.fromkeys(only))


def _summary(
    dataset: Dataset, exporter: Exporter, args: argparse.Namespace, done: Exported
) -> list[tuple[str, str]]:
    slides = "x_level0" in dataset.columns
    (example, *_) = exporter.files("*")
    unit = "slide" if slides else "shard"
    count = f"{done.units:,} {unit}{'' if done.units == 1 else 's'}"
    lines = [
        (
            "exported",
            f"{count}, {done.rows:,} {'patches' if slides else 'rows'}: "
            f"{files.join(args.output, *example.split('/'))}",
        )
    ]
    statuses = collections.Counter(dataset.items["status"].to_pylist())
    left = {name: statuses[name] for name in ("empty", "failed") if statuses[name]}
    if left and not args.only:
        text = ", ".join(f"{number:,} {name}" for name, number in left.items())
        lines.append(
            ("left out", f"{dataset.table_name} without embeddings: {text} (beamscope problems "
                         f"{dataset.root})")
        )  # fmt: skip
    if done.renamed:
        several = len(done.renamed) > 1
        files_of = f"{len(done.renamed):,} files, whose ids" if several else "1 file, whose id"
        lines.append(("renamed", f"{files_of} cannot be a file name: such as {done.renamed[0]!r}"))
    return lines + exporter.notes()
