"""PTransform: stop a job at once if its workers see no GPU."""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from beamscope.transforms.inference.backends.registry import BACKENDS


@dataclasses.dataclass
class RequireGpu(beam.PTransform):
    """Look for a GPU on the first worker. Apply it to a ``Pipeline``; its output has no use.

    It is a separate branch that waits for nothing. So a job on the wrong machines fails in its
    first seconds, not after planning and loading the model. The other workers look for a GPU when
    they load the model (`ModelBackendHandler.require_gpu`).

    Attributes:
      backend: name of the model's backend, which looks for the GPU.
    """

    backend: str

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection[None]:
        """Raise InputError (``no_gpu``) on a worker without a GPU; the job then fails."""
        return root | beam.Impulse() | "LookForGpu" >> beam.ParDo(_LookForGpuFn(self.backend))


class _LookForGpuFn(beam.DoFn):
    def __init__(self, backend: str) -> None:
        self._backend = backend

    def process(self, element: bytes) -> None:  # noqa: ARG002
        BACKENDS.get(self._backend).require_gpu()
