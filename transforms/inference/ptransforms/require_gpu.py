"""PTransform: stop a job at once whose workers see no GPU."""

from __future__ import annotations

import dataclasses

import apache_beam as beam


@dataclasses.dataclass
class RequireGpu(beam.PTransform):
    """Looks for a GPU on the first worker; takes a ``Pipeline``, and gives nothing of use.

    A branch of its own, that waits for nothing: a job on the wrong machines fails in its first
    seconds, not when the slides are planned and the model is loaded. The other workers look when
    they load the model (`SavedModelHandler.require_gpu`).
    """

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection[None]:
        """Raises InputError (``no_gpu``) on a worker without one, which fails the job."""
        return root | beam.Impulse() | "LookForGpu" >> beam.ParDo(_LookForGpuFn())


class _LookForGpuFn(beam.DoFn):
    def process(self, element: bytes) -> None:  # noqa: ARG002
        # Of a worker's seconds, TensorFlow's import takes most: nobody else is to pay for it.
        from beamscope.transforms.inference.devices import require_gpu

        require_gpu()
