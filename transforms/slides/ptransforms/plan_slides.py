"""PTransform: plan slides, and drop what an earlier start has finished."""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.ptransforms.plan_items import PlanItems
from beamscope.transforms.slides.planning.slide_planner import SlidePlanner
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage.cache import FileCache


@dataclasses.dataclass
class PlanSlides(beam.PTransform):
    """Plan slides into blocks: `PlanItems` for slides.

    Takes a ``PCollection[SlideRequest]``; gives ``blocks`` (`SlideBlock`s that are to be embedded),
    ``parts`` (`PartRef`s of those that are already) and ``items`` (the id of every slide).

    Attributes:
      settings: how slides are cut into patches.
      layout: of the dataset; plans and pictures are written there.
      cache: where remote slides are copied to that only OpenSlide reads; None where there is none.
    """

    settings: SlideSettings
    layout: Layout
    cache: FileCache | None = None

    def expand(self, requests: beam.PCollection[SlideRequest]) -> beam.pvalue.DoOutputsTuple:
        """Plan each slide once, wherever a worker is free."""
        return requests | PlanItems(SlidePlanner(self.settings, self.cache), self.layout)
