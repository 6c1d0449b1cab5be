"""Slides summed up when their blocks are finished."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.planner import ItemSummary
from beamscope.transforms.slides.outcome import slide_outcome
from beamscope.transforms.slides.planning.plan_file import outline_of

_Piece = tuple[str, tuple[PartRef, ...]]


@dataclasses.dataclass(frozen=True)
class SlideSummary(ItemSummary):
    """Sum slides up, each as a whole: it is never split between shards."""

    def pieces(
        self,
        layout: Layout,  # noqa: ARG002
        item_id: str,
        parts: Sequence[PartRef],
    ) -> Iterator[_Piece]:
        """Yield the slide with all of its parts."""
        yield item_id, tuple(parts)

    def outcome(self, layout: Layout, piece: _Piece) -> ItemOutcome:
        """Return what became of a slide.

        Raises:
          ValueError: the parts are not exactly those of its plan.
        """
        slide_id, parts = piece
        return slide_outcome(layout, slide_id, parts)

    def outcome_of(self, layout: Layout, piece: _Piece, header: Mapping[str, Any]) -> ItemOutcome:
        """Return what became of a slide, without reading its plan."""
        slide_id, parts = piece
        return slide_outcome(layout, slide_id, parts, outline_of(header))
