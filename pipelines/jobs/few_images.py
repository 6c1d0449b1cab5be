"""Call a model plainly for a job of few images, which ends before the model would be compiled."""

from __future__ import annotations

import dataclasses
import functools
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


@dataclasses.dataclass(frozen=True)
class FewImages:
    """What there is to embed, which decides about the call of each model of a job.

    Attributes:
      job: the job.
      requests: the items to embed.
      options: Beam's own options.
    """

    job: Job
    requests: Sequence[Any]
    options: PipelineOptions

    @functools.cached_property
    def number(self) -> int | None:
        """Return the number of images, counted once; None where it is not known, or not few."""
        return self.job.count_images(self.requests, FEW_IMAGES)

    def call_plainly(self, settings: ModelSettings) -> bool:
        """Return whether a model is not compiled for them, and say so in a line.

        Raises:
          InputError: ``bad_model``: there is no such model.
        """
        if settings.compile != "auto" or requires_gpu(self.options) or not runs_here(self.options):
            return False
        if self.number is None:
            return False
        seconds = seconds_saved(find_model(settings), self.number)
        if seconds is None:
            return False
        say(
            f"model {model_name(settings.uri)}: {self.number:,} {self.job.unit} are called "
            f"plainly, since compiling takes about {seconds:.0f} s; --compile openvino compiles "
            "it, and keeps that for later starts"
        )
        return True
