"""`beamscope status`: how far the job of an output directory is, wherever it runs."""

from __future__ import annotations

from collections.abc import Sequence

from beamscope.pipelines.jobs import slides as embed_slides
from beamscope.pipelines.jobs import xrays as embed_xrays
from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.transforms.output.dataset import read_description
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.progress import ProgressReader, RunRecord, read_run_record
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_JOBS = {job.name: job for job in (embed_slides.JOB, embed_xrays.JOB)}


def run(argv: Sequence[str]) -> int:
    """Prints the progress of an output directory.

    Raises:
      InputError: ``no_run`` where it is not the output of a job.
    """
    quiet()
    parser = Parser(
        prog="beamscope status",
        description="Tell how far a job is, from the parts that are there against the plan. "
        "Works on any output, while the job runs anywhere, and afterwards.",
    )
    parser.add_argument("output", metavar="DIR", help="output directory of the job")
    args = parser.parse_args(list(argv))
    record = read_run_record(args.output)
    if record is None:
        raise InputError(Kind.NO_RUN, f"{args.output}: is not the output of a beamscope job")
    print(status_of(args.output, record))
    return 0


def status_of(root: str, record: RunRecord) -> str:
    """The progress of a run in a few lines."""
    job = _JOBS[record.job]
    layout = Layout(root, record.fingerprint)
    progress = ProgressReader(layout, record.items, job.count_rows).read()
    complete = read_description(root) is not None
    share = progress.rows_done / progress.rows_planned if progress.rows_planned else 0.0
    return "\n".join([
        f"  job       {record.job}, fingerprint {record.fingerprint}",
        f"  planned   {progress.items_planned:,} of {progress.items:,} {job.sources}",
        f"  done      {progress.rows_done:,} of {progress.rows_planned:,} {job.unit} ({share:.1%})",
        f"  dataset   {'complete' if complete else 'not complete yet'}",
    ])  # fmt: skip
