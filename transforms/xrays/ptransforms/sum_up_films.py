"""PTransform: bring sources and their parts together again, and sum them up block by block."""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.ptransforms.sum_up_items import SumUpItems
from beamscope.transforms.sources.source_summary import SourceSummary
from beamscope.transforms.xrays.settings import XraySettings


@dataclasses.dataclass
class SumUpFilms(beam.PTransform):
    """Sum films up: a dict of ``items`` (ids) and ``parts`` (`PartRef`s) to `ItemOutcome`s.

    Attributes:
      settings: of the job; the catalogue is looked up for films that failed.
      layout: of the dataset; plans are read from there.
    """

    settings: XraySettings
    layout: Layout

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection[ItemOutcome]:
        """Group the references by source, and sum each block up."""
        return inputs | SumUpItems(SourceSummary(self.settings), self.layout)
