"""`beamscope status`: show the progress of the job that writes an output, wherever it runs."""

from __future__ import annotations

from collections.abc import Sequence

from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.options.command_line import Parser, place
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.transforms.output.dataset import read_description
from beamscope.transforms.output.progress import ProgressReader
from beamscope.transforms.output.run_record import RunRecord, read_run_record
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files


def run(argv: Sequence[str]) -> int:
    """Print the progress of an output directory.

    Raises:
      InputError: ``no_run`` where it is not the output of a job.
    """
    quiet()
    parser = Parser(
        prog="beamscope status",
        description="Show a job's progress: the finished parts against the plans. It works on any "
        "output, while the job runs anywhere and afterwards.",
    )
    parser.add_argument(
        "output", metavar="DIR", type=place("output"), help="output directory of the job"
    )
    args = parser.parse_args(list(argv))
    with files.refusals(Kind.NO_RUN):
        record = read_run_record(args.output)
    if record is None:
        raise InputError(Kind.NO_RUN, f"{args.output}: is not the output of a beamscope job")
    print(status_of(args.output, record))
    return 0


def status_of(root: str, record: RunRecord) -> str:
    """Return the progress of a run in a few lines.

    Raises:
      InputError: ``no_run`` where nobody here knows the job.
    """
    if record.job not in JOBS:
        known = ", ".join(JOBS.names())
        raise InputError(Kind.NO_RUN, f"{root}: is of a job {record.job!r}; known are {known}")
    job = JOBS.get(record.job)
    layout = record.layout(root)
    progress = ProgressReader(layout, record.items, job.planned_rows).read()
    complete = read_description(root) is not None
    share = progress.rows_done / progress.rows_planned if progress.rows_planned else 0.0
    return "\n".join([
        f"  job       {record.job}, fingerprint {layout.fingerprint or layout.plan_fingerprint}",
        f"  planned   {progress.items_planned:,} of {progress.items:,} {job.items}",
        f"  done      {progress.rows_done:,} of {progress.rows_planned:,} {job.unit} ({share:.1%})",
        f"  dataset   {'complete' if complete else 'not complete yet'}",
    ])  # fmt: skip
