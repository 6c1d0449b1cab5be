"""`beamscope search`: the patches, films or images of a dataset that look like one."""

from __future__ import annotations

import argparse
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow_csv
from tqdm import tqdm

from beamscope.pipelines.options.command_line import Parser, check_range, place
from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.opening import open_dataset
from beamscope.transforms.formats.parquet import write_table
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.search.hits import hit_table
from beamscope.transforms.search.like import find_like
from beamscope.transforms.search.nearest import nearest
from beamscope.transforms.search.page import Card, lines_of, write_page
from beamscope.transforms.storage import files

_MOST_HITS = 10_000
# Pictures of about 15 KB each.
_MOST_PICTURES = 500
_FILE = re.compile(r".+\.(png|jpe?g|tiff?|dcm|dicom)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True, eq=False)
class _Query:
    """What is searched for: its vector, its card, and its own row where it has one."""

    vector: npt.NDArray[np.floating]
    lines: Sequence[str]
    row: Mapping[str, Any] | None = None
    pixels: npt.NDArray[np.uint8] | None = None
    place: tuple[int, int, int] | None = None


def run(argv: Sequence[str]) -> int:
    """Search a dataset with the flags of a command line.

    Raises:
      InputError: a flag is wrong, or the dataset cannot be searched so.
    """
    args = _parser().parse_args(list(argv))
    check_range("--k", args.k, 1, _MOST_HITS)
    if args.threads is not None:
        check_range("--threads", args.threads, 1, 1024)
    dataset = open_dataset(args.dataset)
    dataset.embedding_column(args.embedding)
    query = _query(dataset, args)
    with tqdm(total=len(dataset), unit=" rows", unit_scale=True, leave=False, disable=None) as bar:
        hits = nearest(
            dataset, query.vector, args.k, column=args.embedding, exclude=query.place,
            threads=args.threads, progress=lambda rows: _advance(bar, rows),
        )  # fmt: skip
    table = hit_table(dataset, hits)
    print(_text(dataset, table))
    if args.output is not None:
        gone = _write(dataset, query, table, args)
        print(f"\n  table     {files.join(args.output, 'hits.csv')}, hits.parquet")
        print(f"  page      {files.join(args.output, 'hits.html')}")
        if gone:
            print(f"  pictures  {gone:,} are missing: their slides or files are gone, or cannot be "
                  "read; the page says why")  # fmt: skip
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog="beamscope search",
        description="Find the patches, films or images of a finished dataset whose embeddings are "
        "nearest to one, by cosine. Every row is compared: there is no index, and nothing is "
        "missed.",
        epilog="example: beamscope search OUTPUT --like SLIDE_ID:20480,14336 --k 50 --output HITS",
    )
    parser.add_argument(
        "dataset", metavar="OUTPUT", type=place("OUTPUT"), help="output directory of the job"
    )
    parser.add_argument(
        "--like", required=True, metavar="SLIDE_ID:X,Y|ID|FILE",
        help="what to search for: a point of a slide in level-0 pixels, for the patch that holds "
        "it; the id of a film or image; or a JPEG, PNG or TIFF file (a DICOM for films), with "
        "--model. The file of a patch must have the resolution of the patches",
    )  # fmt: skip
    parser.add_argument(
        "--model", metavar="MODEL", type=place("--model"),
        help="the model of the dataset, to embed a file",
    )  # fmt: skip
    parser.add_argument(
        "--k", type=int, default=20, metavar="N", help="number of hits (default: %(default)s)"
    )
    parser.add_argument(
        "--output", metavar="DIR", type=place("--output"),
        help="directory for hits.csv, hits.parquet and hits.html, a page with pictures that are "
        "read from the slides where they are (default: only print the hits)",
    )  # fmt: skip
    parser.add_argument(
        "--embedding", metavar="COLUMN",
        help="the column of embeddings, if the dataset has several",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, metavar="N",
        help="threads that read and compare (default: one for each processor)",
    )  # fmt: skip
    return parser


def _advance(bar: Any, rows: int) -> None:
    bar.update(rows)


def _query(dataset: Dataset, args: argparse.Namespace) -> _Query:
    if not _FILE.fullmatch(args.like) or args.like in dataset.ids:
        if args.model is not None:
            raise InputError(
                Kind.BAD_OPTION, f"--model has no effect: --like {args.like} is in the dataset"
            )
        try:
            found = find_like(dataset, args.like, column=args.embedding)
        except InputError as error:
            raise InputError(error.kind, f"--like {error.message}") from error
        return _Query(found.embedding, lines_of(found.values), found.values, place=found.place)
    if args.model is None:
        raise InputError(
            Kind.MISSING_OPTION,
            f"--like {args.like}: a file needs --model, the model of the dataset "
            f"({dataset.model(args.embedding)['name']})",
        )
    with files.refusals(Kind.MISSING_INPUT, "--like "):
        data = files.read_bytes(args.like)
    # Libraries of models take seconds to import: searching for a patch must not wait for them.
    from beamscope.transforms.search.embed_file import embed_file, prepared

    try:
        pixels = prepared(dataset, data, args.embedding)
    except InputError as error:
        raise InputError(error.kind, f"--like {args.like}: {error.message}") from error
    return _Query(embed_file(dataset, data, args.model, args.embedding), [args.like], pixels=pixels)


def _text(dataset: Dataset, table: pa.Table) -> str:
    lines = []
    for row in table.to_pylist():
        rest = "  ".join(lines_of(row)[1:])
        lines.append(f"{row['rank']:>6}  {row['cosine']:.4f}  {row[dataset.id_column]}  {rest}")
    return "\n".join(line.rstrip() for line in lines)


def _write(dataset: Dataset, query: _Query, table: pa.Table, args: argparse.Namespace) -> int:
    """Write tables and page; return how many pictures are missing."""
    write_table(files.join(args.output, "hits.parquet"), table)
    flat = pa.table({
        name: column if not pa.types.is_nested(column.type)
        else pa.array([None if v is None else str(dict(v)) for v in column.to_pylist()])
        for name, column in zip(table.column_names, table.columns, strict=True)
    })  # fmt: skip
    content = io.BytesIO()
    arrow_csv.write_csv(flat, content)
    files.write_bytes(files.join(args.output, "hits.csv"), content.getvalue())
    # Imported here because the readers of slides take a while.
    from beamscope.transforms.search.pictures import Pictures
    from beamscope.transforms.storage.cache import FileCache
    from beamscope.transforms.storage.own_folder import own_folder

    pictures = Pictures(dataset, FileCache(own_folder("slides"), 10**10, own=True))

    def picture(row: Mapping[str, Any]) -> npt.NDArray[np.uint8] | str:
        try:
            return pictures.read(row)
        except InputError as error:
            return error.message

    own: npt.NDArray[np.uint8] | str = "no picture"
    if query.pixels is not None:
        own = query.pixels
    elif query.row is not None:
        own = picture(query.row)
    rows = table.slice(0, _MOST_PICTURES).to_pylist()
    cards = [
        Card(f"{row['rank']}: {row['cosine']:.4f}", lines_of(row), picture(row))
        for row in tqdm(rows, unit=" pictures", leave=False, disable=None)
    ]
    unit = "patches" if "x_level0" in dataset.columns else "images"
    text = (
        f"The {len(rows):,} nearest of {len(dataset):,} {unit} in {dataset.root} by cosine of the "
        "embeddings, the nearest first. What was searched for is outlined."
    )
    if table.num_rows > len(rows):
        text += f" The table has {table.num_rows:,}."
    page = write_page(f"Like {args.like}", text, Card("searched for", query.lines, own), cards)
    files.write_bytes(files.join(args.output, "hits.html"), page.encode())
    return sum(isinstance(card.picture, str) for card in cards)
