"""`beamscope report`: show a finished dataset on one page."""

from __future__ import annotations

from collections.abc import Sequence

from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.options.command_line import Parser, check_range, place
from beamscope.pipelines.terminal.live import activities_shown
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.transforms.activity import doing
from beamscope.transforms.dataset.dataset import Dataset
from beamscope.transforms.dataset.opening import open_dataset
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.requests_file import read_requests
from beamscope.transforms.output.run_record import read_run_record
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.report.page import to_html
from beamscope.transforms.report.report import Limits, make_report
from beamscope.transforms.sources.sources import Source
from beamscope.transforms.storage import files

_LIMITS = Limits()


def run(argv: Sequence[str]) -> int:
    """Write the report of an output.

    Raises:
      InputError: ``no_run`` if there is no finished dataset; ``unknown_column``.
    """
    parser = Parser(
        prog="beamscope report",
        description="Write one HTML file about a finished dataset: its numbers, a table of slides "
        "or films to sort and filter, pictures, a map of the embeddings, the problems, and where "
        "the dataset comes from. The file needs no network.",
        examples=[
            "beamscope report OUTPUT",
            "beamscope report gs://BUCKET/OUTPUT --file report.html --label tumour",
        ],
    )
    parser.add_argument(
        "output", metavar="OUTPUT", type=place("output"), help="output directory of the job"
    )
    parser.add_argument(
        "--file",
        metavar="FILE",
        type=place("--file"),
        help="the file to write, local, gs:// or s3:// (default: OUTPUT/report.html)",
    )
    parser.add_argument(
        "--label",
        metavar="COLUMN",
        help="column to colour the projection by; the page offers the others too (default: label, "
        "class, or the id)",
    )
    parser.add_argument(
        "--embedding",
        metavar="COLUMN",
        help="the column of embeddings to show, if the dataset has several (default: the first)",
    )
    parser.add_argument(
        "--pictures",
        metavar="N",
        type=int,
        default=_LIMITS.pictures,
        help="most slides or images to show pictures of (default: %(default)s)",
    )
    args = parser.parse_args(list(argv))
    check_range("--pictures", args.pictures, 0, 2000)
    quiet()
    with activities_shown("opening the dataset"):
        dataset = open_dataset(args.output, embedding=args.embedding)
        if args.embedding is None and len(dataset.embedding_columns) > 1:
            dataset = open_dataset(args.output, embedding=dataset.embedding_columns[0])
        _check_label(dataset, args.label)
        job = JOBS.get(str(dataset.description["job"]))
        with files.refusals(Kind.NO_RUN):
            record = read_run_record(dataset.root)
            sources: list[Source] = (
                read_requests(dataset.root, job.request_type)
                if dataset.table_name != "slides"
                else []
            )
        layout = record.layout(dataset.root) if record else Layout(dataset.root, "", "")
        with doing("reading embeddings and pictures"):
            report = make_report(
                dataset,
                layout,
                listed=job.listed,
                reading=job.reading_again(dataset.options()),
                sources=sources,
                label=args.label,
                limits=Limits(pictures=args.pictures),
            )
        content = to_html(report).encode()
        path = args.file or files.join(dataset.root, "report.html")
        with files.refusals(Kind.UNWRITABLE):
            files.write_bytes(path, content)
    print(f"{path}: {len(content) / 1e6:.1f} MB; open it in a browser")
    return 0


def _check_label(dataset: Dataset, label: str | None) -> None:
    known = {*dataset.columns, *dataset.items.column_names}
    if label is not None and label not in known and not label.startswith("finding: "):
        raise InputError(
            Kind.UNKNOWN_COLUMN,
            f"--label {label}: there is no such column; there are "
            f"{', '.join(sorted(known - set(dataset.embedding_columns)))}",
        )
