"""PTransform: make every embedded block durable at once."""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from beamscope.transforms.blocks import EmbeddingBlock, PartRef
from beamscope.transforms.metrics import count, timed
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part


@dataclasses.dataclass
class WriteParts(beam.PTransform):
    """Writes blocks as parts: ``PCollection[EmbeddingBlock]`` to ``PCollection[PartRef]``.

    Attributes:
      layout: of the dataset.
    """

    layout: Layout

    def expand(self, blocks: beam.PCollection[EmbeddingBlock]) -> beam.PCollection[PartRef]:
        """Writes each block under its own name; a repeated one replaces itself."""
        return blocks | "WritePart" >> beam.Map(_write_part, self.layout)


def _write_part(block: EmbeddingBlock, layout: Layout) -> PartRef:
    with timed("write_part"):
        ref = write_part(layout, block)
    count("blocks_embedded")
    count("patches_embedded", ref.embedded)
    return ref
