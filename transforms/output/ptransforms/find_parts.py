"""PTransform: drop the blocks that have been finished since they were planned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from beamscope.transforms.metrics import count
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.planner import ItemPlanner
from beamscope.transforms.output.ptransforms.damage import damaged_part
from beamscope.transforms.output.ptransforms.plan_items import BLOCKS, PARTS


@dataclasses.dataclass
class FindParts(beam.PTransform):
    """Look for the parts of blocks before the blocks are read.

    A runner that has lost a worker gives all blocks of its bundles to others, those that the worker
    had finished too. The input is a ``PCollection`` of blocks; the output has ``blocks`` to read,
    and ``parts`` (`PartRef`s).

    Attributes:
      planner: the job's planner, which knows its blocks.
      layout: paths of the dataset.
    """

    planner: ItemPlanner[Any, Any]
    layout: Layout

    def expand(self, blocks: beam.PCollection[Any]) -> beam.pvalue.DoOutputsTuple:
        """Look for each block, as it comes to the worker that is to read it."""
        find = beam.FlatMap(_found, self.planner, self.layout)
        return blocks | "FindPart" >> find.with_outputs(PARTS, main=BLOCKS)


def _found(block: Any, planner: ItemPlanner[Any, Any], layout: Layout) -> Iterator[Any]:
    parts, left = planner.found_done(layout, block, damaged_part)
    for part in parts:
        count("blocks_found_done")
        yield beam.pvalue.TaggedOutput(PARTS, part)
    if left is not None:
        yield left
