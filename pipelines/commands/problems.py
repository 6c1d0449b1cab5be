"""`beamscope problems`: show the problems of an output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from beamscope.pipelines.options.command_line import Parser, place
from beamscope.transforms.output.dataset import read_description
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files


def run(argv: Sequence[str]) -> int:
    """Print the table of problems of an output.

    Raises:
      InputError: ``no_run`` if there is no finished dataset.
    """
    parser = Parser(
        prog="beamscope problems",
        description="Show the problems of an output: one line for each slide, patch, archive or "
        "film that failed, with its place, kind and message.",
    )
    parser.add_argument(
        "output", metavar="OUTPUT", type=place("output"), help="output directory of the job"
    )
    parser.add_argument("--kind", help="show only problems of this kind, such as missing_mpp")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per line, for programs"
    )
    args = parser.parse_args(list(argv))
    with files.refusals(Kind.NO_RUN):
        description = read_description(args.output)
    if description is None:
        raise InputError(
            Kind.NO_RUN,
            f"{args.output}: holds no finished dataset. The job writes its table of problems at "
            f"its end; `beamscope status {args.output}` shows its progress",
        )
    try:
        for problem in _problems(args.output, args.kind):
            print(json.dumps(problem) if args.json else line(problem))
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            Kind.NO_RUN,
            f"{args.output}/problems.parquet cannot be read: {one_line(error)}. The command of the "
            "job makes it again",
        ) from error
    return 0


def line(problem: dict[str, Any]) -> str:
    """Return a problem as one line of text.

    Args:
      problem: a row of ``problems.parquet``.
    """
    place = problem["item_id"]
    if problem.get("x_level0") is not None:
        place += f" at ({problem['x_level0']}, {problem['y_level0']})"
    return f"{place}: {problem['kind']}: {problem['message']}"


def _problems(root: str, kind: str | None) -> Iterator[dict[str, Any]]:
    with files.open_read(files.join(root, "problems.parquet")) as file:
        for batch in pq.ParquetFile(file).iter_batches():
            for problem in batch.to_pylist():
                if kind in (None, problem["kind"]):
                    yield problem
