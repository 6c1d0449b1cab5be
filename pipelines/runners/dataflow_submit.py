"""Submit a job to Dataflow without waiting for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from beamscope.pipelines.runners.labels import add_labels
from beamscope.transforms.output.cluster_job import ClusterJob
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.run_record import note_cluster_job
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError


def submit(
    job: str,
    layout: Layout,
    build: Callable[[beam.Pipeline], None],
    options: PipelineOptions,
) -> bool:
    """Submit a pipeline, print where to follow it, and return whether a job runs now.

    Do not wait: a job of days must not depend on a laptop's connection, and a template must not
    wait. Without ``--job_name`` the name is made from the output. Dataflow then refuses a second
    job that would embed the same patches while the first still runs.

    Args:
      job: name of the command, ``slides`` or ``xrays``.
      layout: paths of the output.
      build: adds the transforms to a pipeline.
      options: Beam's own options; the job's name and labels are added.

    Raises:
      InputError: ``already_running``: Dataflow has an active job of that name.
    """
    # Imported here because the runner imports Google's clients.
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError

    cloud = options.view_as(GoogleCloudOptions)
    cloud.job_name = cloud_job_name(job, layout, options)
    add_labels(job, options)
    pipeline = beam.Pipeline(options=options)
    build(pipeline)
    try:
        result = pipeline.run()
    except DataflowJobAlreadyExistsError as error:
        raise InputError(
            Kind.ALREADY_RUNNING,
            f"--output {layout.root}: a Dataflow job named {cloud.job_name} is writing it; "
            f"`beamscope status {layout.root}` shows its progress",
        ) from error
    if not result.has_job:
        print(f"template written to {cloud.template_location}")
        return False
    place = f"{cloud.region}/{result.job_id()}?project={cloud.project}"
    url = f"https://console.cloud.google.com/dataflow/jobs/{place}"
    note_cluster_job(layout.root, ClusterJob("Dataflow", result.job_id(), url))
    print(
        f"submitted to Dataflow as {cloud.job_name}, {result.job_id()}\n"
        f"  {url}\n"
        f"`beamscope status {layout.root}` shows its progress. When the job is done, run the same "
        "command again for the summary; if it has failed, to continue."
    )
    return True


def cloud_job_name(job: str, layout: Layout, options: PipelineOptions) -> str:
    """Return the name of a job: that of the options, or else one of its output."""
    given: str | None = options.view_as(GoogleCloudOptions).job_name
    return given or job_name(job, layout)


def job_name(job: str, layout: Layout) -> str:
    """Return the default name of a job: letters, digits and dashes, as Dataflow requires."""
    of_output = hashlib.sha256(f"{layout.root}\0{layout.fingerprint}".encode()).hexdigest()[:12]
    return f"beamscope-{job}-{of_output}"
