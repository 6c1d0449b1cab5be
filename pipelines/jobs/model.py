"""Load the model once before the job, to check it and learn how it is called."""

from __future__ import annotations

import dataclasses

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.runners.gpu import check_gpu_here, requires_gpu, runs_here
from beamscope.pipelines.terminal.card_notes import say_about_card
from beamscope.pipelines.terminal.live import LINE
from beamscope.pipelines.terminal.log_file import LOG
from beamscope.pipelines.terminal.quiet import start_quietly
from beamscope.transforms.activity import doing
from beamscope.transforms.inference.cards.apply import with_card_record
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.kept_models import kept_spec
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec


def resolve_model(settings: ModelSettings, beam_options: PipelineOptions) -> ModelSpec:
    """Load a model, call it, and return its spec; or take that of an earlier start.

    If the precision is below float32 and the workers are on this machine, also compile the model
    and print the cosine with the plain float32 call. The user then sees it before a long job.

    Raises:
      InputError: ``bad_model``; ``bad_option`` if this machine does not support the precision;
        ``no_gpu`` if a GPU is required here and there is none.
    """
    say_about_card(settings)
    found = find_model(settings)
    if settings.computed_in == "float32" and not requires_gpu(beam_options):
        spec = kept_spec(found)
        if spec is not None:
            return with_card_record(spec, settings)
    # Model libraries take seconds to import: --help and wrong flags must not wait for them.
    with doing("loading the model"):
        start_quietly(found.backend)
    check_gpu_here(beam_options, found.backend)
    loaded = found.load()
    if settings.computed_in == "float32" or not runs_here(beam_options):
        return with_card_record(loaded.spec, settings)
    embedder = Embedder(loaded)
    with LINE.lifted():
        print(
            f"model {embedder.spec.name}: {embedder.precision} by {embedder.compile_used}, "
            f"cosine {embedder.check_cosine:.6f} with float32 (lowest of a batch)",
            flush=True,
        )
    return dataclasses.replace(embedder.spec, cosine=embedder.check_cosine)


def say_what_is_assumed(spec: ModelSpec) -> None:
    """Print and log the input range of a model where neither the model nor a flag names one."""
    if spec.range_source != "assumed":
        return
    text = (
        f"model {spec.name}: input range {spec.input_range} is assumed: the model names none "
        "(--input_range, --input_mean)"
    )
    LOG.info("%s", text)
    with LINE.lifted():
        print(text, flush=True)
