"""Submitting a job to Dataflow without waiting for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


def submit(
    job: str,
    layout: Layout,
    build: Callable[[beam.Pipeline], None],
    options: PipelineOptions,
) -> None:
    """Submits a pipeline, and prints where it can be followed.

    It does not wait: a job of days must not hang on a laptop's connection, and a template may not.
    A job without ``--job_name`` is called after its output, so that Dataflow refuses a second one
    that would embed the same patches again while the first still runs.

    Args:
      job: name of the command, ``slides`` or ``xrays``.
      layout: of the output.
      build: puts the transforms into a pipeline.
      options: Beam's own; the name of the job is added.

    Raises:
      InputError: ``already_running``: Dataflow has an active job of that name.
    """
    # Only here: importing the runner takes Google's clients along.
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError

    cloud = options.view_as(GoogleCloudOptions)
    cloud.job_name = cloud.job_name or job_name(job, layout)
    pipeline = beam.Pipeline(options=options)
    build(pipeline)
    try:
        result = pipeline.run()
    except DataflowJobAlreadyExistsError as error:
        raise InputError(
            Kind.ALREADY_RUNNING,
            f"--output {layout.root}: a Dataflow job named {cloud.job_name} is writing it; "
            f"`beamscope status {layout.root}` tells how far it is",
        ) from error
    if not result.has_job:
        print(f"template written to {cloud.template_location}")
        return
    print(
        f"submitted to Dataflow as {cloud.job_name}, {result.job_id()}\n"
        f"  https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{result.job_id()}"
        f"?project={cloud.project}\n"
        f"`beamscope status {layout.root}` tells how far it is; when it is done, or has failed, "
        "the same command sums up, or goes on."
    )


def job_name(job: str, layout: Layout) -> str:
    """The name of a job that has none given: letters, digits and dashes, as Dataflow wants it."""
    of_output = hashlib.sha256(f"{layout.root}\0{layout.fingerprint}".encode()).hexdigest()[:12]
    return f"beamscope-{job}-{of_output}"
