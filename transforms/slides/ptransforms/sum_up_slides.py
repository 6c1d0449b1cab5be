"""PTransform: bring a slide and its parts together again, and sum it up."""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.output.ptransforms.sum_up_items import SumUpItems
from beamscope.transforms.slides.slide_summary import SlideSummary


@dataclasses.dataclass
class SumUpSlides(beam.PTransform):
    """Sum slides up: a dict of ``items`` (ids) and ``parts`` (`PartRef`s) to `ItemOutcome`s.

    Attributes:
      layout: of the dataset; plans are read from there, and pictures written.
    """

    layout: Layout

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection[ItemOutcome]:
        """Group the references by slide, and sum each up."""
        return inputs | SumUpItems(SlideSummary(), self.layout)
