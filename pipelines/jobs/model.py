"""The model of a job, loaded once before the job to find out how it is called."""

from __future__ import annotations

import dataclasses

from apache_beam.options.pipeline_options import PipelineOptions

from beamscope.pipelines.runners.gpu import runs_here
from beamscope.transforms.inference.model_settings import ModelSettings, ModelSpec


def resolve_model(settings: ModelSettings, beam_options: PipelineOptions) -> ModelSpec:
    """Return how a model is called, found out by loading it and calling it once.

    Below float32, where the workers are on this machine, it is compiled as well, and the cosine
    with the plain float32 call is printed: a job is not to run for days before someone looks.

    Raises:
      InputError: ``bad_model``, or ``bad_option`` for a precision that this machine does not have.
    """
    # TensorFlow takes seconds to import: not for --help, nor for a flag that is wrong.
    from beamscope.pipelines.terminal.quiet import import_tensorflow

    import_tensorflow()
    from beamscope.transforms.inference.backends.saved_model.loading import load

    if settings.computed_in == "float32" or not runs_here(beam_options):
        return load(settings).spec
    from beamscope.transforms.inference.embedder import Embedder

    # As a worker does: a GPU's float32 is not to be rounded here either.
    embedder = Embedder.from_settings(settings)
    print(
        f"model {embedder.spec.name}: {embedder.precision} by {embedder.compile_used}, "
        f"cosine {embedder.check_cosine:.6f} with float32 (lowest of a batch)"
    )
    return dataclasses.replace(embedder.spec, cosine=embedder.check_cosine)
