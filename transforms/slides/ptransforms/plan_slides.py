"""PTransform: plan slides, and drop what an earlier start has finished."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import apache_beam as beam

from beamscope.transforms.metrics import count, timed
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import read_part_refs
from beamscope.transforms.slides.planning.plan import SlideBlock
from beamscope.transforms.slides.planning.plan_file import find_plan, write_plan
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage import files
from beamscope.transforms.storage.cache import FileCache

BLOCKS = "blocks"
PARTS = "parts"
SLIDES = "slides"


@dataclasses.dataclass
class PlanSlides(beam.PTransform):
    """Plans slides into blocks.

    Takes a ``PCollection[SlideRequest]``; gives a tuple of three, by name: ``blocks``
    (`SlideBlock`s that are to be embedded), ``parts`` (`PartRef`s of those that are already) and
    ``slides`` (the id of every slide, whatever became of it).

    Attributes:
      settings: how slides are cut into patches.
      layout: of the dataset; plans and pictures are written there.
      cache: where remote slides are copied to that only OpenSlide reads; None where there is none.
    """

    settings: SlideSettings
    layout: Layout
    cache: FileCache | None = None

    def expand(self, requests: beam.PCollection[SlideRequest]) -> beam.pvalue.DoOutputsTuple:
        """Plans each slide once, wherever a worker is free."""
        return (
            requests
            | "SpreadSlides" >> beam.Reshuffle()
            | "PlanSlide"
            >> beam.ParDo(_PlanSlideFn(self.settings, self.layout, self.cache)).with_outputs(
                PARTS, SLIDES, main=BLOCKS
            )
        )


@dataclasses.dataclass
class _PlanSlideFn(beam.DoFn):
    settings: SlideSettings
    layout: Layout
    cache: FileCache | None

    def process(self, request: SlideRequest) -> Iterator[SlideBlock | beam.pvalue.TaggedOutput]:
        plan = find_plan(self.layout, request)
        if plan is not None:
            count("slides_planned_before")
        else:
            # What was embedded under another plan must not be taken for blocks of this one.
            files.delete_tree(self.layout.item_parts(request.slide_id))
            with timed("plan_slide"):
                plan = plan_slide(request, self.settings, self.cache)
            if plan.picture is not None:
                # At once, not at the end: a wrong resolution is seen before it has cost a day.
                files.write_bytes(self.layout.picture(request.slide_id), plan.picture.jpeg)
            write_plan(self.layout, request, plan)
            count("slides_planned")
        found = {file.path for file in files.list_files(self.layout.item_parts(request.slide_id))}
        done = []
        for block in plan.blocks():
            path = self.layout.part(block.key, len(block))
            if path in found:
                done.append(path)
            else:
                yield block
        count("blocks_embedded_before", len(done))
        for part in read_part_refs(done):
            yield beam.pvalue.TaggedOutput(PARTS, part)
        yield beam.pvalue.TaggedOutput(SLIDES, request.slide_id)
