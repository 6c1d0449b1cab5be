"""PTransform: embed blocks by several models, each of which writes parts of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import ModelHandler

from beamscope.transforms.blocks import ImageBlock, PartRef
from beamscope.transforms.inference.handler import ModelBackendHandler, OwnImages
from beamscope.transforms.inference.ptransforms.embed_blocks import EmbedBlocks
from beamscope.transforms.metrics import count
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import check_parts, find_part, parts_by_block, rows_seen
from beamscope.transforms.output.ptransforms.damage import damaged_part
from beamscope.transforms.output.ptransforms.plan_items import BLOCKS, PARTS
from beamscope.transforms.output.ptransforms.write_parts import WriteParts
from beamscope.transforms.storage.files import FileInfo


@dataclasses.dataclass
class EmbedBySeveral(beam.PTransform):
    """Embed blocks by several models: ``PCollection[ImageBlock]`` to ``PCollection[PartRef]``.

    Runners fuse all of it with the step that reads: a block is in memory once, and the models see
    it one after the other. A model that has a part of a block already does not see it.

    Attributes:
      handlers: of the models.
      layout: paths of the dataset, with the embeddings of each model in the same order.
    """

    handlers: tuple[ModelHandler, ...]
    layout: Layout

    def expand(self, images: beam.PCollection[ImageBlock]) -> beam.PCollection[PartRef]:
        """Give each block to each model that has no part of it."""
        parts = []
        for (column, _), place, handler in zip(
            self.layout.embeddings, self.layout.each(), self.handlers, strict=True
        ):
            own = handler.own if isinstance(handler, ModelBackendHandler) else OwnImages()
            wanted = images | f"Find {column}" >> beam.ParDo(
                _FindPartFn(place, own.view)
            ).with_outputs(PARTS, main=BLOCKS)
            parts.append(wanted[PARTS])
            parts.append(
                wanted[BLOCKS]
                | f"Embed {column}" >> EmbedBlocks(handler)
                | f"Write {column}" >> WriteParts(place)
            )
        return parts | "AllModels" >> beam.Flatten()


@beam.typehints.with_output_types(ImageBlock)
@dataclasses.dataclass
class _FindPartFn(beam.DoFn):
    layout: Layout
    view: int
    # The item that was seen last, and its parts when its first block came.
    item_id: str | None = dataclasses.field(default=None, init=False)
    earlier: dict[tuple[int, int], FileInfo] = dataclasses.field(default_factory=dict, init=False)

    def process(self, block: ImageBlock) -> Iterator[Any]:
        seen = block.views[self.view]
        part = find_part(
            self.layout,
            block.key,
            block.planned,
            damaged_part,
            embedded=len(seen.pixels),
            left_out=seen.left_out,
        ) or self._part_with_losses(block, len(seen.pixels))
        if part is None:
            yield block
            return
        count("blocks_embedded_before")
        yield beam.pvalue.TaggedOutput(PARTS, part)

    def _part_with_losses(self, block: ImageBlock, readable: int) -> PartRef | None:
        """Return the part of a model that has seen as many rows at an earlier start, and lost some.

        Its name has a number that is not known here, so that it has to be listed. A block of which
        more can be read now is embedded again.
        """
        if block.key.item_id != self.item_id:
            self.item_id = block.key.item_id
            self.earlier = parts_by_block(self.layout, block.key.item_id)
        file = self.earlier.get((block.key.index, block.planned))
        if file is None:
            return None
        (part,) = check_parts([file], damaged_part)
        return part if part is not None and rows_seen(part) >= readable else None
