"""`beamscope status`: show a job's progress, wherever the job runs."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.options.command_line import Parser, check_range, place
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.transforms.output.cleaning import find_cleaned
from beamscope.transforms.output.cluster_job import ClusterJob
from beamscope.transforms.output.dataset import read_description
from beamscope.transforms.output.progress import Progress, ProgressReader
from beamscope.transforms.output.run_record import RunRecord, read_run_record
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files

_WATCH_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Status:
    """The state of an output.

    Attributes:
      job: name of the job.
      items: plural noun for the planned items.
      unit: plural noun for the embedded images.
      fingerprint: fingerprint of the embedding, or of the plan if the run embeds nothing.
      progress: progress of the run.
      counts: counts of ``dataset.json``; None if the dataset is not complete.
      cluster_job: the job that was submitted to a cluster last; None where none was.
      cleaned: when `beamscope clean` has removed the finished blocks; None where it has not.
      table: the key of `counts` with the items by status.
    """

    job: str
    items: str
    unit: str
    fingerprint: str
    progress: Progress
    counts: Mapping[str, Any] | None
    table: str
    cluster_job: ClusterJob | None = None
    cleaned: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON values; times are in seconds, dates in seconds since 1970."""
        return {
            "job": self.job,
            "fingerprint": self.fingerprint,
            "complete": self.counts is not None,
            **dataclasses.asdict(self.progress),
            "seconds_left": self.progress.seconds_left,
            "cluster_job": self.cluster_job and dataclasses.asdict(self.cluster_job),
            "cleaned": self.cleaned,
            "counts": self.counts,
        }

    def text(self, now: float) -> str:
        """Return the status as a few lines of text.

        Args:
          now: the present time in seconds since 1970.
        """
        progress = self.progress
        share = progress.rows_done / progress.rows_planned if progress.rows_planned else 0.0
        lines = [
            ("job", f"{self.job}, fingerprint {self.fingerprint}"),
            ("planned", f"{progress.items_planned:,} of {progress.items:,} {self.items}"
                        + (f", {progress.items_failed:,} failed" if progress.items_failed else "")),
            ("done", f"{progress.rows_done:,} of {progress.rows_planned:,} {self.unit} "
                     f"({share:.1%})"),
        ]  # fmt: skip
        by_model = progress.rows_done_by_model
        each = progress.rows_planned // max(1, len(by_model))
        lines += [("", f"{column}: {done:,} of {each:,}") for column, done in by_model.items()]
        if self.cleaned is not None:
            lines.append(("cleaned", f"the finished blocks were removed on {self.cleaned}"))
        if self.cluster_job is not None:
            submitted = f"{self.cluster_job.runner} {self.cluster_job.id}  {self.cluster_job.url}"
            lines.append(("submitted", submitted.rstrip()))
        if progress.last_write is not None:
            ago = tqdm.format_interval(max(0, now - progress.last_write))
            when = datetime.datetime.fromtimestamp(progress.last_write).astimezone()
            lines.append(("written", f"last {ago} ago, {when:%Y-%m-%d %H:%M:%S %Z}"))
        if self.counts is None:
            if progress.rows_per_second and progress.seconds_left is not None:
                left = tqdm.format_interval(progress.seconds_left)
                rate = f"{progress.rows_per_second:,.1f} {self.unit} a second"
                lines.append(("rate", f"{rate}, {left} left of what is planned"))
            lines.append(("dataset", "not complete yet"))
        else:
            statuses = ", ".join(f"{n:,} {name}" for name, n in self.counts[self.table].items())
            problems = sum(self.counts["problems"].values())
            lines.append(("dataset", f"complete: {self.counts['rows']:,} rows"))
            lines.append((self.table, statuses or "none"))
            lines.append(("problems", f"{problems:,}" if problems else "none"))
        return "\n".join(f"  {label:<9} {text}" for label, text in lines)


def run(argv: Sequence[str]) -> int:
    """Print the progress of an output directory.

    Raises:
      InputError: ``no_run`` if it is not the output of a job.
    """
    quiet()
    parser = Parser(
        prog="beamscope status",
        description="Show a job's progress: count its finished parts and compare them with its "
        "plans. It works on every runner, during the job and afterwards.",
    )
    parser.add_argument(
        "output", metavar="OUTPUT", type=place("output"), help="output directory of the job"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    parser.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=_WATCH_SECONDS,
        metavar="SECONDS",
        help="print the progress repeatedly until the dataset is complete "
        f"(every {_WATCH_SECONDS:g} seconds if no number is given)",
    )
    args = parser.parse_args(list(argv))
    if args.watch is not None:
        check_range("--watch", args.watch, 0.1, 86_400)
    while True:
        status = read_status(args.output)
        print(json.dumps(status.to_json()) if args.json else status.text(time.time()), flush=True)
        if args.watch is None or status.counts is not None:
            return 0
        time.sleep(args.watch)
        if not args.json:
            print()


def read_status(root: str) -> Status:
    """Return the state of an output.

    Raises:
      InputError: ``no_run`` if it is not the output of a job, or the job is not registered here.
    """
    with files.refusals(Kind.NO_RUN):
        record = read_run_record(root)
    if record is None:
        raise InputError(Kind.NO_RUN, f"{root}: is not the output of a beamscope job")
    if record.job not in JOBS:
        known = ", ".join(JOBS.names())
        raise InputError(
            Kind.NO_RUN, f"{root}: unknown job {record.job!r}; the known jobs are {known}"
        )
    return _status(root, record)


def _status(root: str, record: RunRecord) -> Status:
    job = JOBS.get(record.job)
    layout = record.layout(root)
    description = read_description(root)
    # A dataset of other settings stays there until this run assembles its own.
    cleaned = find_cleaned(root)
    own = description is not None and description.get("fingerprint") == layout.fingerprint
    return Status(
        job.name,
        job.items,
        job.unit,
        layout.fingerprint or layout.plan_fingerprint,
        ProgressReader(layout, record.items, job.glance).read(),
        description["counts"] if description is not None and own else None,
        job.table_name,
        record.cluster_job,
        cleaned.when if cleaned is not None else None,
    )
