"""Who pays for requests to gs://: the bucket's owner, or, where the owner says so, who asks.

The variable of the environment has GDAL's name, which users of such buckets know.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

GOOGLE_VARIABLE = "GS_USER_PROJECT"


class BillingOptions(PipelineOptions):
    """The project that pays, as an option of Beam, so that a job's workers get it."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--billing_project",
            metavar="PROJECT",
            help="Google Cloud project that pays for requests to gs:// buckets whose requester "
            f"pays (default: ${GOOGLE_VARIABLE})",
        )


def prepare_storage(options: PipelineOptions) -> None:
    """Let this process, and the workers of a job, ask stores as a job's options say.

    Args:
      options: Beam's options of the job; the paying project is added from the environment.
    """
    billing = options.view_as(BillingOptions)
    billing.billing_project = billing.billing_project or os.environ.get(GOOGLE_VARIABLE) or None
    # Beam does so as well, but only when the pipeline is made: inputs are listed before.
    FileSystems.set_options(options)


def billing_project() -> str | None:
    """Return the Google Cloud project that pays for requests; None for the bucket's owner."""
    options = FileSystems._pipeline_options
    project: str | None = options and options.view_as(BillingOptions).billing_project
    return project or os.environ.get(GOOGLE_VARIABLE) or None
