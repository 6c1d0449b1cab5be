"""The options ``--require_gpu`` and ``--embed_accelerator``: where a job needs a GPU.

They are declared as options of Beam, so that runner configs can contain them.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

from beamscope.pipelines.runners.runner_name import runner_name
from beamscope.transforms.inference.backends.base import Backend

# The workers of these runners are on the machine that starts the job.
_LOCAL_RUNNERS = ("directrunner", "fnapirunner", "bundlebaseddirectrunner")
# DirectRunner may choose Prism.
_RUNNERS_IN_PROCESS = ("fnapirunner", "bundlebaseddirectrunner")


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
        parser.add_argument(
            "--embed_accelerator",
            metavar="HINT",
            help="on Dataflow: the GPU and machine of the steps that read, embed and write, as "
            "'type:NAME;count:1;machine_type:MACHINE;install-nvidia-driver'; all other steps run "
            "on machines of --machine_type",
        )


def requires_gpu(options: PipelineOptions) -> bool:
    """Return whether a job must fail where there is no GPU."""
    required: bool = options.view_as(GpuOptions).require_gpu
    return required


def embed_accelerator(options: PipelineOptions) -> str | None:
    """Return Beam's resource hint of the GPU that only embedding gets; None for none.

    https://cloud.google.com/dataflow/docs/guides/right-fitting
    """
    hint: str | None = options.view_as(GpuOptions).embed_accelerator
    return hint


def runs_here(options: PipelineOptions) -> bool:
    """Return whether a job's workers are on this machine."""
    return runner_name(options) in _LOCAL_RUNNERS


def embeds_in_this_process(options: PipelineOptions) -> bool:
    """Return whether a job's workers are threads of this process, which needs no GPU."""
    mode = options.view_as(DirectOptions).direct_running_mode
    return (
        runner_name(options) in _RUNNERS_IN_PROCESS
        and mode != "multi_processing"
        and not requires_gpu(options)
    )


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
