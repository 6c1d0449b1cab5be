"""Check what a runner requires of a job, before anything runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.runners.dataflow import (
    check_remote,
    prepare_dataflow,
    runs_on_dataflow,
)
from beamscope.pipelines.runners.flink import check_flink
from beamscope.pipelines.runners.gpu import embed_accelerator
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

if TYPE_CHECKING:
    from beamscope.pipelines.jobs.job import Job


def check_runner(job: Job, args: argparse.Namespace, options: PipelineOptions) -> None:
    """Check the options of the runner, and complete those of Dataflow.

    Args:
      job: the job; some of its flags name files.
      args: the parsed flags of the job.
      options: Beam's own options; changed in place.

    Raises:
      InputError: an option is missing or wrong, or the cluster does not answer.
    """
    hint = embed_accelerator(options)
    if hint is not None and not runs_on_dataflow(options):
        raise InputError(
            Kind.BAD_OPTION,
            f"--embed_accelerator {hint}: only Dataflow has machines of several kinds for one job; "
            "leave it out (`--only embed` on GPU machines does the same elsewhere)",
        )
    prepare_dataflow(job.path_flags, args, options)
    check_flink(options)


def check_runner_sees(job: Job, options: PipelineOptions, requests: Sequence[Any]) -> None:
    """Check that the workers can reach the files that the requests name.

    Raises:
      InputError: ``local_path``.
    """
    for flag, uri in job.named_uris(requests):
        check_remote(options, flag, [uri])
