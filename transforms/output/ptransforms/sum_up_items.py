"""PTransform: join items with their parts, and sum them up."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.found import Found, find_found
from beamscope.transforms.output.joined_parts import joined_parts
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.planner import ItemSummary
from beamscope.transforms.output.ptransforms.damage import repaired_by_another_pass


@dataclasses.dataclass
class SumUpItems(beam.PTransform):
    """Sum items up: a dict of ``items`` (ids) and ``parts`` (`PartRef`s) to `ItemOutcome`s.

    Attributes:
      summary: sums up an item of the job.
      layout: paths of the dataset: plans are read there, and pictures are written.
      found: what this start has found in an output in a store, which is not read again.
    """

    summary: ItemSummary
    layout: Layout
    found: Found | None = None

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection[ItemOutcome]:
        """Group small references by item; rows of the dataset are not shuffled."""
        keyed = {
            "items": inputs["items"] | "KeyItems" >> beam.Map(lambda item: (item, None)),
            "parts": inputs["parts"] | "KeyParts" >> beam.Map(lambda p: (p.key.item_id, p)),
        }
        return (
            keyed
            | "GroupByItem" >> beam.CoGroupByKey()
            | "CheckParts" >> beam.FlatMap(_pieces, self.summary, self.layout)
            | "SpreadPieces" >> beam.Reshuffle()
            | "SumUp" >> beam.Map(_outcome, self.summary, self.layout, self.found)
        )


def _pieces(
    grouped: tuple[str, dict[str, Iterable[PartRef]]], summary: ItemSummary, layout: Layout
) -> Iterator[Any]:
    item_id, found = grouped
    with repaired_by_another_pass():
        for piece in summary.pieces(layout, item_id, joined_parts(layout, found["parts"])):
            yield item_id, piece


def _outcome(
    item_piece: tuple[str, Any], summary: ItemSummary, layout: Layout, found: Found | None
) -> ItemOutcome:
    item_id, piece = item_piece
    with repaired_by_another_pass():
        known = find_found(found, layout, item_id)
        outcome: ItemOutcome = (
            summary.outcome(layout, piece)
            if known is None
            else summary.outcome_of(layout, piece, known.header)
        )
    return outcome
