"""Run a job: parse its command line, claim the output, run the pipeline, print the summary."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.jobs.dry_run import dry_run
from beamscope.pipelines.jobs.execute import execute
from beamscope.pipelines.jobs.extents import check_share, command_for, embedding_summary
from beamscope.pipelines.jobs.found import find_before
from beamscope.pipelines.jobs.hold import hold_output
from beamscope.pipelines.jobs.job import Job
from beamscope.pipelines.jobs.order import (
    Order,
    check_not_cleaned,
    complete_before,
    dataset_of,
    request_digest,
    run_record_of,
    understand,
)
from beamscope.pipelines.jobs.pipeline import build_assembly, build_pipeline
from beamscope.pipelines.runners.dataflow import runs_on_dataflow
from beamscope.pipelines.runners.dataflow_submit import cloud_job_name, submit
from beamscope.pipelines.runners.gpu import (
    embed_accelerator,
    embeds_in_this_process,
    requires_gpu,
)
from beamscope.pipelines.terminal.live import LINE
from beamscope.pipelines.terminal.log_file import LOG, LogFile, logged
from beamscope.pipelines.terminal.model_notes import say_about_call
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.pipelines.terminal.summary import Finished, read_summary
from beamscope.pipelines.terminal.words import counted
from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.faults.run import run_id
from beamscope.transforms.inference.handler import ModelBackendHandler
from beamscope.transforms.inference.open_ahead import open_ahead
from beamscope.transforms.inference.ptransforms.require_gpu import RequireGpu
from beamscope.transforms.output.claim import check_claim, claim_output
from beamscope.transforms.output.dataset import add_to_description
from beamscope.transforms.output.layout import Layout, is_try
from beamscope.transforms.output.leases.held import HeldLease
from beamscope.transforms.output.leases.lease_file import EVERYTHING
from beamscope.transforms.output.model_record import ModelRecord, write_model_record
from beamscope.transforms.output.progress import ProgressReader
from beamscope.transforms.output.requests_file import write_requests
from beamscope.transforms.output.run_record import RunRecord
from beamscope.transforms.problems import RepairNeededError
from beamscope.transforms.storage import files
from beamscope.transforms.storage.scratch import delete_left_over

OK, NOT_ALL_THERE = 0, 3
# Passes over all items: what is damaged shows in the first.
_PASSES = 3


def run_job(job: Job, argv: Sequence[str]) -> int:
    """Run a job with the flags of a command line, and return the exit status.

    On Dataflow, submit the job and return without waiting for it. With ``--dry_run``, only say what
    would be done.

    Raises:
      InputError: a flag or an input is wrong. Nothing has run or been written then.
    """
    quiet(verbose="--verbose" in argv)
    with logged() as log:
        order = understand(job, argv)
        LOG.info("%s", order.command_line)
        record = run_record_of(order)
        check_not_cleaned(order, record.layout(order.args.output))
        if order.args.dry_run:
            text = dry_run(order, record)
            with LINE.lifted():
                print(text)
            return OK
        # What refuses an output must not write the lease there.
        check_claim(order.args.output, record, overwrite=order.args.overwrite)
        layout = record.layout(order.args.output)
        check_share(order, job.steps(order.settings, order.args, layout))
        share = order.extent.share
        cloud = runs_on_dataflow(order.options)
        name = cloud_job_name(job.name, layout, order.options) if cloud else ""
        with hold_output(
            order.args.output,
            order.options,
            cloud_job=name,
            slot=share.slot if share is not None else EVERYTHING,
        ) as lease:
            return _run(order, record, log, lease)


def _run(order: Order, record: RunRecord, log: LogFile, lease: HeldLease) -> int:
    job, args = order.job, order.args
    claim_output(args.output, record, overwrite=args.overwrite)
    share = order.extent.share
    log.open(args.output, share.slot if share is not None else "")
    write_requests(args.output, order.requests)
    layout = record.layout(args.output)
    for model, place in zip(order.models, layout.each(), strict=False):
        if order.extent.embeds:
            # Otherwise the model was taken from there.
            write_model_record(place, ModelRecord(model.settings, model.spec))
        say_about_call(model.settings, model.spec)
    LOG.info("%s requested; settings %s", counted(len(order.requests), job.items), record.settings)
    request = request_digest(order)
    finished = progress = None
    if not complete_before(layout, job, request):
        dataset = dataset_of(order, record, layout, request)
        dataset = dataclasses.replace(dataset, lease=lease.key)

        def build(pipeline: beam.Pipeline) -> None:
            steps = job.steps(order.settings, args, layout)
            found = find_before(order, steps.planner, layout)
            if not order.extent.embeds:
                remedy = command_for(order, None)
                build_assembly(pipeline, order.requests, steps, dataset, job.glance, remedy, found)
                return
            accelerator = embed_accelerator(order.options)
            required = requires_gpu(order.options) and bool(order.models)
            if required:
                look = RequireGpu(order.models[0].spec.backend)
                if accelerator is not None:
                    look.with_resource_hints(accelerator=accelerator)
                _ = pipeline | "RequireGpu" >> look
            guard = Guard(layout, run_id(), args.item_timeout, len(order.requests), lease.key)
            build_pipeline(
                pipeline,
                order.requests,
                steps,
                _handlers(order, layout, guard, required=required),
                dataset,
                guard,
                assembles=order.extent.assembles,
                share=share,
                accelerator=accelerator,
                found=found,
            )

        if runs_on_dataflow(order.options):
            LINE.close()
            if submit(job.name, layout, build, order.options):
                # From here on the workers keep it.
                lease.leave()
            return OK
        if order.extent.embeds and embeds_in_this_process(order.options):
            # With the very settings that the workers get.
            open_ahead([model.for_workers for model in order.models])
        progress = ProgressReader(layout, len(order.requests), job.glance)
        finished = _execute_and_repair(job, build, order.options, progress)
        if order.extent.assembles:
            add_to_description(layout.root, counters=dict(sorted(finished.counters.items())))
    if not lease.key.by_workers and share is None:
        # What killed processes of this output have left: nobody else is writing it.
        files.delete_temporaries(layout.root, recursive=True)
        # Of blocks whose process was killed between the part and the end of the try.
        tries = [file.path for file in files.list_files(layout.tries)]
        files.delete([path for path in tries if is_try(path)])
    delete_left_over()
    if order.extent.assembles or finished is None or progress is None:
        told = read_summary(job, order.settings, layout, finished, max_failed=args.max_failed)
    else:
        steps = job.steps(order.settings, args, layout)
        told = embedding_summary(order, steps, finished, progress)
    summary = told.with_log(log.path)
    LOG.info("finished\n%s", summary.text(verbose=True))
    LINE.close()
    print(f"\n{summary.text(verbose=args.verbose)}")
    return NOT_ALL_THERE if summary.faults else OK


def _handlers(
    order: Order, layout: Layout, guard: Guard, *, required: bool
) -> list[ModelBackendHandler]:
    """Return what runs each model, in the order of the columns."""
    name = uuid.uuid4().hex
    return [
        ModelBackendHandler(
            model.for_workers,
            require_gpu=required,
            guard=dataclasses.replace(guard, layout=place),
            own=model.own,
            job=name,
        )
        for model, place in zip(order.models, layout.each(), strict=False)
    ]


def _execute_and_repair(
    job: Job,
    build: Callable[[beam.Pipeline], None],
    options: PipelineOptions,
    progress: ProgressReader,
) -> Finished:
    """Run a pipeline, and again where it has found files that are not what was written.

    Raises:
      RepairNeededError: so did the last pass.
    """
    for left in reversed(range(_PASSES)):
        try:
            return execute(job, build, options, progress)
        except RepairNeededError as error:
            if not left:
                raise
            LOG.warning("%s; another pass makes it again", error)
    raise AssertionError("the last pass returns or raises")
