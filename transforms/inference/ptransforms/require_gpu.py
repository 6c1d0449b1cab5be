"""PTransform: stop a job at once whose workers see no GPU."""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from beamscope.transforms.inference.backends.registry import BACKENDS


@dataclasses.dataclass
class RequireGpu(beam.PTransform):
    """Look for a GPU on the first worker; takes a ``Pipeline``, and gives nothing of use.

    It is a branch of its own that waits for nothing: a job on the wrong machines fails in its first
    seconds, not when the slides are planned and the model is loaded. The other workers look when
    they load the model (`ModelBackendHandler.require_gpu`).

    Attributes:
      backend: name of the model's backend, whose libraries look for the GPU.
    """

    backend: str

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection[None]:
        """Raise InputError (``no_gpu``) on a worker without one, which fails the job."""
        return root | beam.Impulse() | "LookForGpu" >> beam.ParDo(_LookForGpuFn(self.backend))


class _LookForGpuFn(beam.DoFn):
    def __init__(self, backend: str) -> None:
        self._backend = backend

    def process(self, element: bytes) -> None:  # noqa: ARG002
        BACKENDS.get(self._backend).require_gpu()
