"""Options of a job on Flink, and the check that the cluster answers.

Beam's SDK asks a running job server for its options, and sends it those that the user gave. This
module declares the options that only the server knows, so that they can be checked before.
"""

from __future__ import annotations

import http.client
import urllib.request
from argparse import ArgumentParser

from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions

from beamscope.pipelines.runners.runner_name import runner_name
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

_SECONDS = 10


class FlinkJobServerOptions(PipelineOptions):
    """The options for batch jobs, as Beam's FlinkPipelineOptions.java describes them."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        # No defaults: the server chooses the value of an option that is not given.
        parser.add_argument(
            "--number_of_execution_retries",
            type=int,
            help="how often Flink restarts a failed job (default: the cluster's setting)",
        )
        parser.add_argument(
            "--execution_retry_delay",
            type=int,
            metavar="MSEC",
            help="how long Flink waits before a restart (default: the cluster's setting)",
        )
        parser.add_argument(
            "--max_bundle_size", type=int, help="maximum elements in a bundle (default: 5000)"
        )
        parser.add_argument(
            "--max_bundle_time_mills",
            type=int,
            metavar="MSEC",
            help="maximum time that a bundle stays open (default: 10000)",
        )
        parser.add_argument(
            "--flink_conf_dir", help="directory of a Flink configuration for the submitted job"
        )
        parser.add_argument(
            "--execution_mode_for_batch",
            choices=("PIPELINED", "PIPELINED_FORCED", "BATCH", "BATCH_FORCED"),
            help="how stages exchange data; with any but BATCH_FORCED no patch is embedded before "
            "all slides are planned (default: PIPELINED)",
        )


def check_flink(options: PipelineOptions) -> None:
    """Check that the cluster of a job on Flink answers. Do nothing for other runners.

    Without this check, a job waits silently for a missing cluster. Without an address, Beam starts
    its own Flink.

    Raises:
      InputError: ``missing_option`` or ``bad_option``, about ``--flink_master``.
    """
    if not runs_on_flink_cluster(options):
        return
    master = options.view_as(FlinkRunnerOptions).flink_master
    if master == "[auto]":
        raise InputError(
            Kind.MISSING_OPTION, "--flink_master: give the cluster's HOST:PORT, or [local]"
        )
    address = master if "://" in master else f"http://{master}"
    try:
        with urllib.request.urlopen(f"{address}/overview", timeout=_SECONDS):
            pass
    except (OSError, ValueError, http.client.HTTPException) as error:
        # A URLError wraps an OSError with a clearer message.
        reason = next((arg for arg in error.args if isinstance(arg, OSError)), error)
        raise InputError(
            Kind.BAD_OPTION, f"--flink_master {master}: no Flink answers there: {one_line(reason)}"
        ) from error


def runs_on_flink_cluster(options: PipelineOptions) -> bool:
    """Return whether a job runs on a Flink that is no part of this process."""
    master: str = options.view_as(FlinkRunnerOptions).flink_master
    return runner_name(options) == "flinkrunner" and master != "[local]"
