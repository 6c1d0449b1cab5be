"""Run a job: parse its command line, claim the output, run the pipeline, print the summary."""

from __future__ import annotations

from collections.abc import Sequence

import apache_beam as beam

from beamscope.pipelines.jobs.execute import execute
from beamscope.pipelines.jobs.job import Job
from beamscope.pipelines.jobs.order import dataset_of, request_digest, run_record_of, understand
from beamscope.pipelines.jobs.pipeline import build_pipeline
from beamscope.pipelines.runners.dataflow import runs_on_dataflow
from beamscope.pipelines.runners.dataflow_submit import submit
from beamscope.pipelines.runners.gpu import requires_gpu
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.pipelines.terminal.summary import read_summary
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.faults.run import run_id
from beamscope.transforms.inference.handler import ModelBackendHandler
from beamscope.transforms.inference.ptransforms.require_gpu import RequireGpu
from beamscope.transforms.output.claim import claim_output
from beamscope.transforms.output.dataset import (
    add_to_description,
    is_in_place,
    read_description,
)
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.progress import ProgressReader
from beamscope.transforms.output.requests_file import write_requests

OK, NOT_ALL_THERE = 0, 3


def run_job(job: Job, argv: Sequence[str]) -> int:
    """Run a job with the flags of a command line, and return the exit status.

    On Dataflow, submit the job and return without waiting for it.

    Raises:
      InputError: a flag or an input is wrong. Nothing has run or been written then.
    """
    quiet()
    order = understand(job, argv)
    record = run_record_of(order)
    claim_output(order.args.output, record, overwrite=order.args.overwrite)
    write_requests(order.args.output, order.requests)
    layout = record.layout(order.args.output)
    request = request_digest(order)
    finished = None
    if not _complete_before(layout, job, request):
        dataset = dataset_of(order, record, layout, request)

        def build(pipeline: beam.Pipeline) -> None:
            required = requires_gpu(order.options)
            if required:
                _ = pipeline | "RequireGpu" >> RequireGpu(order.spec.backend)
            guard = Guard(layout, run_id(), order.args.item_timeout, len(order.requests))
            steps = job.steps(order.settings, order.args, layout)
            handler = ModelBackendHandler(order.model, require_gpu=required, guard=guard)
            build_pipeline(pipeline, order.requests, steps, handler, dataset, guard)

        if runs_on_dataflow(order.options):
            submit(job.name, layout, build, order.options)
            return OK
        progress = ProgressReader(layout, len(order.requests), job.glance)
        finished = execute(job, build, order.options, progress)
        add_to_description(layout.root, counters=dict(sorted(finished.counters.items())))
    summary = read_summary(job, order.settings, layout, finished, max_failed=order.args.max_failed)
    print(f"\n{summary.text()}")
    return NOT_ALL_THERE if summary.faults else OK


def _complete_before(layout: Layout, job: Job, request: str) -> bool:
    """Return whether the dataset holds exactly this request, and no item failed.

    If not, the job tries the failed items again and assembles the dataset again. So does a dataset
    of version 0.2, whose shards then get their folder.
    """
    description = read_description(layout.root)
    return (
        description is not None
        and description["fingerprint"] == layout.fingerprint
        and description["request"] == request
        and is_in_place(description)
        and not description["counts"][job.table_name].get("failed")
    )
