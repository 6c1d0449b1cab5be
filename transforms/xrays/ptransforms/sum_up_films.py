"""PTransform: bring sources and their parts together again, and sum them up block by block."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import apache_beam as beam

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.outcome import ItemOutcome
from beamscope.transforms.xrays.outcome import block_outcome, check_parts, source_outcome
from beamscope.transforms.xrays.settings import XraySettings


@dataclasses.dataclass
class SumUpFilms(beam.PTransform):
    """Sums films up: a dict of ``sources`` (ids) and ``parts`` (`PartRef`s) to `ItemOutcome`s.

    Attributes:
      settings: of the job; the catalogue is looked up for films that failed.
      layout: of the dataset; plans are read from there.
    """

    settings: XraySettings
    layout: Layout

    def expand(self, inputs: dict[str, beam.PCollection]) -> beam.PCollection[ItemOutcome]:
        """Groups references by source; then each block goes its own way, an outcome each."""
        keyed = {
            "sources": inputs["sources"] | "KeySources" >> beam.Map(lambda source: (source, None)),
            "parts": inputs["parts"] | "KeyParts" >> beam.Map(lambda p: (p.key.item_id, p)),
        }
        return (
            keyed
            | "GroupBySource" >> beam.CoGroupByKey()
            | "CheckParts" >> beam.FlatMap(_check, self.layout)
            | "SpreadParts" >> beam.Reshuffle()
            | "SumUp" >> beam.Map(_sum_up, self.settings, self.layout)
        )


def _check(
    grouped: tuple[str, dict[str, Iterable[PartRef]]], layout: Layout
) -> Iterator[str | PartRef]:
    source_id, found = grouped
    yield source_id
    yield from check_parts(layout, source_id, found["parts"])


def _sum_up(element: str | PartRef, settings: XraySettings, layout: Layout) -> ItemOutcome:
    catalog = settings.load_catalog()
    if isinstance(element, str):
        return source_outcome(layout, element, catalog)
    return block_outcome(element, catalog)
