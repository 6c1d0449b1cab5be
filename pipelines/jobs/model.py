"""Load the model once before the job, to check it and learn how it is called."""

from __future__ import annotations

import dataclasses

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.jobs.recorded_model import spec_found_before
from beamscope.pipelines.runners.dataflow import runs_on_dataflow
from beamscope.pipelines.runners.flink import runs_on_flink_cluster
from beamscope.pipelines.runners.gpu import (
    check_gpu_here,
    embeds_in_this_process,
    requires_gpu,
    runs_here,
)
from beamscope.pipelines.terminal.card_notes import say_about_card
from beamscope.pipelines.terminal.quiet import start_quietly
from beamscope.pipelines.terminal.say import say
from beamscope.transforms.activity import doing
from beamscope.transforms.inference.cards.apply import with_card_record
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import FoundModel, find_model
from beamscope.transforms.inference.first_start import first_entry
from beamscope.transforms.inference.kept_models import Failed, kept_spec, place_of
from beamscope.transforms.inference.load_apart import spec_apart
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec


def resolve_model(
    settings: ModelSettings, beam_options: PipelineOptions, output: str | None = None
) -> ModelSpec:
    """Find out how a model is called: load it, or take what an earlier start has found.

    Where the workers are on this machine and what is compiled can be kept, another process loads
    it, and compiles it for them. Where they are on other machines, this process never loads it: it
    takes what the record of the output says, or another process loads it and ends.

    If the precision is below float32 and the workers are on this machine, also compile the model
    and print the cosine with the plain float32 call. The user then sees it before a long job.

    Args:
      settings: the model, and how it is to be called.
      beam_options: of the job.
      output: of the job, where there may be a record of an earlier start.

    Raises:
      InputError: ``bad_model``; ``bad_option`` if this machine does not support the precision;
        ``no_gpu`` if a GPU is required here and there is none.
    """
    say_about_card(settings)
    found = find_model(settings)
    exact, here = settings.computed_in == "float32", runs_here(beam_options)
    place = None if requires_gpu(beam_options) else place_of(found)
    if place is not None and exact:
        spec = kept_spec(place)
        if spec is None and here:
            # What is made now is what the workers open.
            entry = first_entry(found, place)
            if isinstance(entry, Failed) and embeds_in_this_process(beam_options):
                _start(found)
            spec = None if entry is None else entry.spec
        if spec is not None:
            return with_card_record(spec, settings)
    elsewhere = runs_on_dataflow(beam_options) or runs_on_flink_cluster(beam_options)
    if elsewhere:
        spec = spec_found_before(output, found) if output is not None else None
        spec = spec or spec_apart(found)
        if spec is not None:
            return with_card_record(spec, settings)
    if place is None or exact or not here:
        _start(found)
    check_gpu_here(beam_options, found.backend)
    if exact or not here:
        return with_card_record(found.load(computes_here=not elsewhere).spec, settings)
    embedder = Embedder.from_settings(settings)
    say(
        f"model {embedder.spec.name}: {embedder.precision} by {embedder.compile_used}, "
        f"cosine {embedder.check_cosine:.6f} with float32 (lowest of a batch)"
    )
    return dataclasses.replace(embedder.spec, cosine=embedder.check_cosine)


def _start(found: FoundModel) -> None:
    # Model libraries take seconds to import: --help and wrong flags must not wait for them.
    with doing("loading the model"):
        start_quietly(found.backend)
