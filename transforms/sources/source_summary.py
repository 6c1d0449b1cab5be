"""Sources of images summed up block by block when their blocks are finished."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.planner import ItemSummary
from beamscope.transforms.sources.image_reading import SourceSettings
from beamscope.transforms.sources.outcome import block_outcome, check_parts, source_outcome


@dataclasses.dataclass(frozen=True)
class SourceSummary(ItemSummary):
    """Sum images up, an outcome a block: a source may be the whole dataset.

    Attributes:
      settings: of the job; a table of the user is looked up for images that failed.
    """

    settings: SourceSettings

    def pieces(
        self, layout: Layout, item_id: str, parts: Sequence[PartRef]
    ) -> Iterator[str | PartRef]:
        """Yield the source itself, then each of its blocks.

        Raises:
          ValueError: the parts are not exactly those of the source's plan.
        """
        yield item_id
        yield from check_parts(layout, item_id, parts)

    def outcome(self, layout: Layout, piece: str | PartRef) -> ItemOutcome:
        """Return what became of a source or of one of its blocks."""
        reading = self.settings.reading()
        if isinstance(piece, str):
            return source_outcome(layout, piece, reading)
        return block_outcome(layout, piece, reading)
