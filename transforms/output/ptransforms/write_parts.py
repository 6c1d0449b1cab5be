"""PTransform: write every embedded block to a file at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import apache_beam as beam

from beamscope.transforms.blocks import EmbeddingBlock, PartRef
from beamscope.transforms.metrics import count, timed
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import write_part
from beamscope.transforms.output.plans import plan_digest
from beamscope.transforms.output.provenance import write_worker_record

_ITEMS_REMEMBERED = 1_000


@dataclasses.dataclass
class WriteParts(beam.PTransform):
    """Write blocks as parts: ``PCollection[EmbeddingBlock]`` to ``PCollection[PartRef]``.

    Attributes:
      layout: paths of the dataset.
    """

    layout: Layout

    def expand(self, blocks: beam.PCollection[EmbeddingBlock]) -> beam.PCollection[PartRef]:
        """Write each block under its own name; a retry replaces the file."""
        return blocks | "WritePart" >> beam.ParDo(_WritePartFn(self.layout))


@beam.typehints.with_output_types(PartRef)
@dataclasses.dataclass
class _WritePartFn(beam.DoFn):
    layout: Layout

    def setup(self) -> None:
        self._recorded = False
        self._digests: dict[str, str] = {}

    def process(self, block: EmbeddingBlock) -> Iterator[PartRef]:
        if not self._recorded:
            write_worker_record(self.layout)
            self._recorded = True
        item_id = block.key.item_id
        if item_id not in self._digests:
            if len(self._digests) >= _ITEMS_REMEMBERED:
                self._digests.clear()
            self._digests[item_id] = plan_digest(self.layout.plan(item_id))
        with timed("write_part"):
            ref = write_part(self.layout, block, self._digests[item_id])
        count("blocks_embedded")
        count("patches_embedded", ref.embedded)
        yield ref
