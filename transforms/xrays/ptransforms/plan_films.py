"""PTransform: plan sources of films, and drop what an earlier start has finished."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import apache_beam as beam

from beamscope.transforms.metrics import count, timed
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import read_part_refs
from beamscope.transforms.storage import files
from beamscope.transforms.xrays.planning.plan import FilmsToRead, StreamToRead, plan_source
from beamscope.transforms.xrays.planning.plan_file import find_plan, write_plan
from beamscope.transforms.xrays.settings import XraySettings
from beamscope.transforms.xrays.sources import Source

BLOCKS = "blocks"
PARTS = "parts"
SOURCES = "sources"


@dataclasses.dataclass
class PlanFilms(beam.PTransform):
    """Plans sources into blocks.

    Takes a ``PCollection[Source]``; gives a tuple of three, by name: ``blocks`` (`FilmsToRead` and
    `StreamToRead` that are to be embedded), ``parts`` (`PartRef`s of those that are already) and
    ``sources`` (the id of every source).

    Attributes:
      settings: how films become images.
      layout: of the dataset; plans are written there.
    """

    settings: XraySettings
    layout: Layout

    def expand(self, sources: beam.PCollection[Source]) -> beam.pvalue.DoOutputsTuple:
        """Plans each source once, wherever a worker is free."""
        return (
            sources
            | "SpreadSources" >> beam.Reshuffle()
            | "PlanSource"
            >> beam.ParDo(_PlanSourceFn(self.settings, self.layout)).with_outputs(
                PARTS, SOURCES, main=BLOCKS
            )
        )


@dataclasses.dataclass
class _PlanSourceFn(beam.DoFn):
    settings: XraySettings
    layout: Layout

    def process(
        self, source: Source
    ) -> Iterator[FilmsToRead | StreamToRead | beam.pvalue.TaggedOutput]:
        plan = find_plan(self.layout, source)
        if plan is not None:
            count("sources_planned_before")
        else:
            # What was embedded under another plan must not be taken for blocks of this one.
            files.delete_tree(self.layout.item_parts(source.id))
            with timed("plan_source"):
                plan = plan_source(source, self.settings)
            write_plan(self.layout, plan)
            count("sources_planned")
        found = files.list_files(self.layout.item_parts(source.id))
        parts = read_part_refs([file.path for file in found])
        done = frozenset(part.key.index for part in parts)
        count("blocks_embedded_before", len(done))
        for part in parts:
            yield beam.pvalue.TaggedOutput(PARTS, part)
        if source.kind != "tgz":
            yield from (block for block in plan.blocks() if block.key.index not in done)
        elif not plan.known or len(done) < len(plan.block_sizes):
            yield StreamToRead(source, done)
        yield beam.pvalue.TaggedOutput(SOURCES, source.id)
