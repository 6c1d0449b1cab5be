"""What a job on Flink is told, known and checked before anything starts.

Beam's SDK asks a running job server which options it takes, and sends those that were given. So
options that the SDK itself does not know work, but only the server knows them; they are named here.
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
    """Those that matter to a batch job, as Beam's FlinkPipelineOptions.java describes them."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        # No defaults: what is not given is the server's to choose.
        parser.add_argument(
            "--number_of_execution_retries",
            type=int,
            help="how often Flink starts a failed job again (default: as the cluster says)",
        )
        parser.add_argument(
            "--execution_retry_delay",
            type=int,
            metavar="MSEC",
            help="how long Flink waits before that (default: as the cluster says)",
        )
        parser.add_argument(
            "--max_bundle_size", type=int, help="most elements in a bundle (default: 5000)"
        )
        parser.add_argument(
            "--max_bundle_time_mills",
            type=int,
            metavar="MSEC",
            help="longest time that a bundle stays open (default: 10000)",
        )
        parser.add_argument(
            "--flink_conf_dir", help="directory of a Flink configuration for the submitted job"
        )


def check_flink(options: PipelineOptions) -> None:
    """Asks the cluster of a job that runs on Flink whether it is there; leaves others alone.

    Without this a job waits in silence for a cluster that is not there, and without an address
    Beam takes a Flink of its own.

    Raises:
      InputError: ``missing_option`` or ``bad_option``, about ``--flink_master``.
    """
    master = options.view_as(FlinkRunnerOptions).flink_master
    if runner_name(options) != "flinkrunner" or master == "[local]":
        return
    if master == "[auto]":
        raise InputError(
            Kind.MISSING_OPTION, "--flink_master: say which cluster, as HOST:PORT, or [local]"
        )
    address = master if "://" in master else f"http://{master}"
    try:
        with urllib.request.urlopen(f"{address}/overview", timeout=_SECONDS):
            pass
    except (OSError, ValueError, http.client.HTTPException) as error:
        # What a URLError wraps says it without the wrapping.
        reason = next((arg for arg in error.args if isinstance(arg, OSError)), error)
        raise InputError(
            Kind.BAD_OPTION, f"--flink_master {master}: no Flink answers there: {one_line(reason)}"
        ) from error
