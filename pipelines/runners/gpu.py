"""The option ``--require_gpu``: fail where there is no GPU.

It is declared as an option of Beam, so that runner configs can contain it.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.runners.runner_name import runner_name
from beamscope.transforms.inference.backends.base import Backend

# The workers of these runners are on the machine that starts the job.
_LOCAL_RUNNERS = ("directrunner", "fnapirunner", "bundlebaseddirectrunner")


class GpuOptions(PipelineOptions):
    """The job's requirement of a GPU."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--require_gpu",
            action="store_true",
            default=False,
            help="stop the job in its first seconds if the model's backend sees no GPU, instead of "
            "embedding on processors",
        )


def requires_gpu(options: PipelineOptions) -> bool:
    """Return whether a job must fail where there is no GPU."""
    required: bool = options.view_as(GpuOptions).require_gpu
    return required


def runs_here(options: PipelineOptions) -> bool:
    """Return whether a job's workers are on this machine."""
    return runner_name(options) in _LOCAL_RUNNERS


def check_gpu_here(options: PipelineOptions, backend: Backend[Any]) -> None:
    """Check that there is a GPU if the job requires one and its workers are on this machine.

    Args:
      options: the job's options.
      backend: the backend of the job's model, started.

    Raises:
      InputError: ``no_gpu``.
    """
    if requires_gpu(options) and runs_here(options):
        backend.require_gpu()
