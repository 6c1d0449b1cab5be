"""The option that makes a job fail where there is no GPU.

One of Beam's kind, so that the runner configs of machines with a GPU can hold it.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.runners.runner_name import runner_name
from beamscope.transforms.inference.backends.base import Backend

# Their workers live in the process that starts the job, or beside it.
_LOCAL_RUNNERS = ("directrunner", "fnapirunner", "bundlebaseddirectrunner")


class GpuOptions(PipelineOptions):
    """What a job asks of its workers."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--require_gpu",
            action="store_true",
            default=False,
            help="stop the job in its first seconds where the model's backend sees no GPU, rather "
            "than embed on processors",
        )


def requires_gpu(options: PipelineOptions) -> bool:
    """Whether a job is to fail where there is no GPU."""
    required: bool = options.view_as(GpuOptions).require_gpu
    return required


def runs_here(options: PipelineOptions) -> bool:
    """Whether a job's workers are on this machine."""
    return runner_name(options) in _LOCAL_RUNNERS


def check_gpu_here(options: PipelineOptions, backend: Backend[Any]) -> None:
    """Look for the GPU that a job requires, where the job's workers are on this machine.

    Args:
      options: of the job.
      backend: of the job's model, started.

    Raises:
      InputError: ``no_gpu``.
    """
    if requires_gpu(options) and runs_here(options):
        backend.require_gpu()
