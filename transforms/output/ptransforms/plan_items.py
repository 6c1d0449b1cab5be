"""PTransform: plan items, and drop the blocks that an earlier start finished."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from beamscope.transforms.metrics import count, timed
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import delete_parts, finished_parts
from beamscope.transforms.output.planner import ItemPlanner

BLOCKS = "blocks"
PARTS = "parts"
ITEMS = "items"


@dataclasses.dataclass
class PlanItems(beam.PTransform):
    """Plan items into blocks.

    The input is a ``PCollection`` of requests. The output has three named collections: ``blocks``
    to embed, ``parts`` (`PartRef`s of finished blocks) and ``items`` (the id of every item).

    Attributes:
      planner: the job's planner.
      layout: paths of the dataset, where plans are written.
    """

    planner: ItemPlanner[Any, Any]
    layout: Layout

    def expand(self, requests: beam.PCollection[Any]) -> beam.pvalue.DoOutputsTuple:
        """Plan each item once, on any free worker."""
        return (
            requests
            | "SpreadItems" >> beam.Reshuffle()
            | "PlanItem"
            >> beam.ParDo(_PlanItemFn(self.planner, self.layout)).with_outputs(
                PARTS, ITEMS, main=BLOCKS
            )
        )


@dataclasses.dataclass
class _PlanItemFn(beam.DoFn):
    planner: ItemPlanner[Any, Any]
    layout: Layout

    def process(self, request: Any) -> Iterator[Any]:
        planner, layout = self.planner, self.layout
        item_id = request.id
        plan = planner.find(layout, request)
        if plan is not None:
            count(f"{planner.items}_planned_before")
        else:
            with timed(f"plan_{planner.items}"):
                plan = planner.make(layout, request)
            # Parts of another plan must not count as blocks of this one.
            delete_parts(layout, item_id, keep=planner.kept_blocks(layout, request, plan))
            planner.write(layout, request, plan)
            count(f"{planner.items}_planned")
        parts = finished_parts(layout, item_id, planner.block_sizes(plan))
        count("blocks_embedded_before", len(parts))
        for part in parts:
            yield beam.pvalue.TaggedOutput(PARTS, part)
        yield from planner.blocks(plan, frozenset(part.key.index for part in parts))
        yield beam.pvalue.TaggedOutput(ITEMS, item_id)
