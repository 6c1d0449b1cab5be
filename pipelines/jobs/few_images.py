"""Call a model plainly for a job of few images, which ends before the model would be compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.runners.gpu import requires_gpu, runs_here
from beamscope.pipelines.terminal.say import say
from beamscope.transforms.inference.few_images import FEW_IMAGES, seconds_saved
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.model_files import model_name
from beamscope.transforms.inference.model_settings import ModelSettings

if TYPE_CHECKING:
    from beamscope.pipelines.jobs.job import Job


def called_plainly(
    job: Job, requests: Sequence[Any], settings: ModelSettings, options: PipelineOptions
) -> bool:
    """Return whether a model is not compiled for a job, and say so in a line.

    Raises:
      InputError: ``bad_model``: there is no such model.
    """
    if settings.compile != "auto" or requires_gpu(options) or not runs_here(options):
        return False
    images = job.count_images(requests, FEW_IMAGES)
    if images is None:
        return False
    seconds = seconds_saved(find_model(settings), images)
    if seconds is None:
        return False
    say(
        f"model {model_name(settings.uri)}: {images:,} {job.unit} are called plainly, since "
        f"compiling takes about {seconds:.0f} s; --compile openvino compiles it, and keeps that "
        "for later starts"
    )
    return True
