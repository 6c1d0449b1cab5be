"""A job from its command line to its exit status: understand, claim the output, run, tell."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.metadata
import json
import shlex
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.jobs.execute import execute
from beamscope.pipelines.jobs.job import Job
from beamscope.pipelines.jobs.model import resolve_model
from beamscope.pipelines.jobs.pipeline import build_pipeline
from beamscope.pipelines.jobs.requests import merged_requests
from beamscope.pipelines.options.job import job_parser
from beamscope.pipelines.options.output import shard_format_from
from beamscope.pipelines.runners.checks import check_runner, check_runner_sees
from beamscope.pipelines.runners.config import parse_job
from beamscope.pipelines.runners.dataflow import runs_on_dataflow
from beamscope.pipelines.runners.dataflow_submit import submit
from beamscope.pipelines.runners.gpu import requires_gpu
from beamscope.pipelines.terminal.quiet import quiet
from beamscope.pipelines.terminal.summary import read_summary
from beamscope.transforms.fingerprints import Fingerprint, settings_of
from beamscope.transforms.inference.handler import ModelBackendHandler
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec
from beamscope.transforms.inference.ptransforms.require_gpu import RequireGpu
from beamscope.transforms.output.claim import claim_output
from beamscope.transforms.output.dataset import (
    DatasetSpec,
    add_to_description,
    read_description,
)
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.progress import ProgressReader
from beamscope.transforms.output.provenance import versions
from beamscope.transforms.output.requests_file import write_requests
from beamscope.transforms.output.run_record import RunRecord
from beamscope.transforms.output.shards import ShardFormat

OK, NOT_ALL_THERE = 0, 3


@dataclasses.dataclass(frozen=True)
class Order:
    """A job whose command line is understood: what is asked for, and how.

    Attributes:
      job: which.
      args: the parsed flags.
      options: Beam's own.
      requests: what is to be embedded.
      settings: how items become images.
      model: how the model is to be called.
      spec: how it is called, found out.
      shard_format: of what is written.
      command_line: as it was typed, for the description of the dataset.
    """

    job: Job
    args: argparse.Namespace
    options: PipelineOptions
    requests: Sequence[Any]
    settings: Any
    model: ModelSettings
    spec: ModelSpec
    shard_format: ShardFormat
    command_line: str


def run_job(job: Job, argv: Sequence[str]) -> int:
    """Run the job that a command line asks for, and return the exit status.

    On Dataflow it submits the job, and returns without waiting for it.

    Raises:
      InputError: what the user got wrong; nothing has run then, and nothing is written.
    """
    quiet()
    order = _understand(job, argv)
    record = _record(order)
    claim_output(order.args.output, record, overwrite=order.args.overwrite)
    write_requests(order.args.output, order.requests)
    layout = record.layout(order.args.output)
    request = _request_digest(order)
    finished = None
    if not _complete_before(layout, job, request):
        dataset = _dataset(order, record, layout, request)

        def build(pipeline: beam.Pipeline) -> None:
            required = requires_gpu(order.options)
            if required:
                _ = pipeline | "RequireGpu" >> RequireGpu(order.spec.backend)
            steps = job.steps(order.settings, order.args, layout)
            handler = ModelBackendHandler(order.model, require_gpu=required)
            build_pipeline(pipeline, order.requests, steps, handler, dataset)

        if runs_on_dataflow(order.options):
            submit(job.name, layout, build, order.options)
            return OK
        progress = ProgressReader(layout, len(order.requests), job.glance)
        finished = execute(job, build, order.options, progress)
        add_to_description(layout.root, counters=dict(sorted(finished.counters.items())))
    summary = read_summary(job, order.settings, layout, finished, max_failed=order.args.max_failed)
    print(f"\n{summary.text()}")
    return NOT_ALL_THERE if summary.faults else OK


def _understand(job: Job, argv: Sequence[str]) -> Order:
    """Parse and check a command line, cheap checks first; the model is loaded last."""
    args, options = parse_job(job_parser(job), argv)
    shard_format = shard_format_from(args)
    check_runner(job, args, options)
    requests = job.requests(args)
    check_runner_sees(job, options, requests)
    model = job.model_settings(args)
    spec = resolve_model(model, options)
    settings = job.settings(args, model, spec.input_size)
    if not args.overwrite:
        requests = merged_requests(
            job, args.output, requests, add=args.add, only_these=args.only_these
        )
    return Order(
        job,
        args,
        options,
        requests,
        settings,
        model,
        spec,
        shard_format,
        shlex.join(["beamscope", job.name, *argv]),
    )


def _record(order: Order) -> RunRecord:
    job = order.job
    plan = Fingerprint(
        {
            "job": job.name,
            "plan_version": job.plan_version,
            **settings_of("plan", order.settings),
        }
    )
    embedding = Fingerprint(
        {
            "plan": plan.digest,
            **settings_of("embedding", order.settings),
            **settings_of("embedding", order.spec),
        }
    )
    return RunRecord(job.name, len(order.requests), job.table_name, plan, embedding)


def _request_digest(order: Order) -> str:
    """What a dataset has to hold for nothing to be left to do: which items, as they are now."""
    identities = order.job.identities(order.requests)
    wanted = [
        *({"request": dataclasses.asdict(request), "identity": identity}
          for request, identity in zip(order.requests, identities, strict=True)),
        dataclasses.asdict(order.shard_format),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:16]


def _dataset(order: Order, record: RunRecord, layout: Layout, request: str) -> DatasetSpec:
    job = order.job
    return DatasetSpec(
        layout=layout,
        shard_format=order.shard_format,
        rows=job.rows,
        features=order.spec.features,
        table_name=job.table_name,
        table=job.table,
        metadata={
            "beamscope.version": importlib.metadata.version("beamscope"),
            "beamscope.fingerprint": layout.fingerprint,
            "beamscope.model_digest": order.spec.digest,
        },
        description={
            "job": job.name,
            "options": record.settings,
            "model": order.spec.to_json(),
            "versions": versions(),
            "command_line": order.command_line,
            "request": request,
        },
        problems=job.problems,
        count_table=job.count_table(order.settings),
    )


def _complete_before(layout: Layout, job: Job, request: str) -> bool:
    """Whether the dataset has all that is asked for, in the form asked for, and nothing failed.

    Otherwise it is assembled again, with what failed tried again.
    """
    description = read_description(layout.root)
    return (
        description is not None
        and description["fingerprint"] == layout.fingerprint
        and description["request"] == request
        and not description["counts"][job.table_name].get("failed")
    )
