"""The name of a job's runner."""

from __future__ import annotations

from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions


def runner_name(options: PipelineOptions) -> str:
    """Return the runner's full name in lower case, without its module: ``flinkrunner``.

    Beam accepts any case, and also the name without "Runner". Empty if no runner is named.
    """
    name = (options.view_as(StandardOptions).runner or "").rpartition(".")[2].lower()
    return f"{name.removesuffix('runner')}runner" if name else ""
