"""Which runner a job is for."""

from __future__ import annotations

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions


def runner_name(options: PipelineOptions) -> str:
    """The runner's name without its module, in small letters and in full: ``flinkrunner``.

    Beam takes it in any case, and without "Runner" too. Empty where no runner is named.
    """
    name = (options.view_as(StandardOptions).runner or "").rpartition(".")[2].lower()
    return f"{name.removesuffix('runner')}runner" if name else ""
