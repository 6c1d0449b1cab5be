"""Options of Beam's Flink job server that Beam's Python SDK does not know.

The SDK asks a running job server which options it takes, and sends those that were given. So they
work, but only the server knows them; named here, they are known before anything starts.
"""

from __future__ import annotations

from argparse import ArgumentParser

from apache_beam.options.pipeline_options import PipelineOptions


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
