"""Sources of films summed up block by block when their blocks are finished."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.planner import ItemSummary
from beamscope.transforms.xrays.outcome import block_outcome, check_parts, source_outcome
from beamscope.transforms.xrays.settings import XraySettings


@dataclasses.dataclass(frozen=True)
class FilmSummary(ItemSummary):
    """Sum films up, an outcome a block: a source may be the whole dataset.

    Attributes:
      settings: of the job; the catalogue is looked up for films that failed.
    """

    settings: XraySettings

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
        catalog = self.settings.load_catalog()
        if isinstance(piece, str):
            return source_outcome(layout, piece, catalog)
        return block_outcome(piece, catalog)
