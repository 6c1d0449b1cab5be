"""The command line of a job: its own flags, then the flags that all jobs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beamscope.pipelines.options.command_line import Parser
from beamscope.pipelines.options.extent import add_extent_arguments
from beamscope.pipelines.options.model import add_model_arguments
from beamscope.pipelines.options.output import add_output_arguments, add_telling_arguments
from beamscope.pipelines.runners.config import add_runner_arguments

if TYPE_CHECKING:
    from beamscope.pipelines.jobs.job import Job

_ABOUT_GPUS = " With --require_gpu a job stops at once if the model's backend sees no GPU."


# The flags of every job that everyone needs; each job names those of its own flags.
_ESSENTIAL = ("model", "output", "add", "runner_config", "dry_run")


def job_parser(job: Job, *, model_required: bool = True) -> Parser:
    """Return the parser of a job.

    Args:
      job: the job.
      model_required: whether ``--model`` has to be given, if the job runs one.
    """
    parser = Parser(
        essential=(*job.essential, *_ESSENTIAL),
        examples=job.examples,
        prog=f"beamscope {job.name}",
        description=f"{job.description} You can stop it at any time: the same command continues.",
        epilog="Every option of Apache Beam works too, such as --runner or --temp_location."
        + (_ABOUT_GPUS if job.embeds else ""),
    )
    job.add_arguments(parser)
    if job.embeds:
        add_model_arguments(parser.add_argument_group("model"), required=model_required)
    add_output_arguments(parser, images=not job.embeds)
    add_extent_arguments(parser)
    add_runner_arguments(parser)
    add_telling_arguments(parser)
    return parser
