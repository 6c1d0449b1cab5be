"""PTransform: plan sources of films, and drop what an earlier start has finished."""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.ptransforms.plan_items import PlanItems
from beamscope.transforms.sources.planning.source_planner import SourcePlanner
from beamscope.transforms.sources.sources import Source
from beamscope.transforms.xrays.settings import XraySettings


@dataclasses.dataclass
class PlanFilms(beam.PTransform):
    """Plan sources into blocks: `PlanItems` for sources of films.

    Takes a ``PCollection[Source]``; gives ``blocks`` (`ImagesToRead` and `StreamToRead` that are to
    be embedded), ``parts`` (`PartRef`s of those that are already) and ``items`` (the id of every
    source).

    Attributes:
      settings: how films become images.
      layout: of the dataset; plans are written there.
    """

    settings: XraySettings
    layout: Layout

    def expand(self, sources: beam.PCollection[Source]) -> beam.pvalue.DoOutputsTuple:
        """Plan each source once, wherever a worker is free."""
        return sources | PlanItems(SourcePlanner(self.settings), self.layout)
