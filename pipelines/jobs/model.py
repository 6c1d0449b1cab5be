"""The model of a job, loaded once before the job to find out how it is called."""

from __future__ import annotations

import dataclasses

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.runners.gpu import check_gpu_here, runs_here
from beamscope.pipelines.terminal.quiet import start_quietly
from beamscope.transforms.inference.embedder import Embedder
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec


def resolve_model(settings: ModelSettings, beam_options: PipelineOptions) -> ModelSpec:
    """Return how a model is called, found out by loading it and calling it.

    Below float32, where the workers are on this machine, it is compiled as well, and the cosine
    with the plain float32 call is printed: a job is not to run for days before someone looks.

    Raises:
      InputError: ``bad_model``; ``bad_option`` for a precision that this machine does not have;
        ``no_gpu`` where one is required here.
    """
    found = find_model(settings)
    # Libraries of models take seconds to import: not for --help, nor for a flag that is wrong.
    start_quietly(found.backend)
    check_gpu_here(beam_options, found.backend)
    loaded = found.load()
    if settings.computed_in == "float32" or not runs_here(beam_options):
        return loaded.spec
    embedder = Embedder(loaded)
    print(
        f"model {embedder.spec.name}: {embedder.precision} by {embedder.compile_used}, "
        f"cosine {embedder.check_cosine:.6f} with float32 (lowest of a batch)"
    )
    return dataclasses.replace(embedder.spec, cosine=embedder.check_cosine)
