"""PTransform: bring a slide and its parts together again, and sum it up."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import apache_beam as beam

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.slides.outcome import slide_outcome


@dataclasses.dataclass
class SumUpSlides(beam.PTransform):
    """Sums slides up: a dict of ``slides`` (ids) and ``parts`` (`PartRef`s) to `ItemOutcome`s.

    Attributes:
      layout: of the dataset; plans are read from there, and pictures written.
    """

    layout: Layout

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection[ItemOutcome]:
        """Groups the tiny references by slide; no row of the dataset moves."""
        return (
            {
                "slides": inputs["slides"] | "KeySlides" >> beam.Map(lambda slide: (slide, None)),
                "parts": inputs["parts"] | "KeyParts" >> beam.Map(lambda p: (p.key.item_id, p)),
            }
            | "GroupBySlide" >> beam.CoGroupByKey()
            | "SumUpSlide" >> beam.Map(_sum_up, self.layout)
        )


def _sum_up(grouped: tuple[str, dict[str, Iterable[PartRef]]], layout: Layout) -> ItemOutcome:
    slide_id, found = grouped
    return slide_outcome(layout, slide_id, found["parts"])
