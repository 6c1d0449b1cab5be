"""PTransform: plan every item whole, and find where a sample in total ends."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from beamscope.transforms.faults.guard import Guard
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.plan_index import update_index
from beamscope.transforms.output.planner import ItemPlanner
from beamscope.transforms.output.ptransforms.plan_items import PlanItems
from beamscope.transforms.patches.drawn import Drawn, digests_in, set_digest
from beamscope.transforms.patches.sampling import Sample
from beamscope.transforms.patches.total import BINS, LastBin, SampleEnd, count_bins, last_bin
from beamscope.transforms.patches.total import write_end as write_end_file
from beamscope.transforms.storage import files

_Hashes = npt.NDArray[np.uint64]


@runtime_checkable
class TotalPlanner(Protocol):
    """A planner that takes its part of a sample from whole plans.

    Attributes:
      sample: the sample, with its total.
      drawn: the sample of an earlier start, where it is the same now; see `ItemPlanner.holds`.
    """

    sample: Sample
    drawn: Drawn | None

    def whole(self) -> ItemPlanner[Any, Any]:
        """Return the planner of whole plans."""

    def hashes(self, layout: Layout, item_id: str) -> _Hashes:
        """Return the hashes of all patches of an item, uint64 ``[n]``, from its whole plan."""


@dataclasses.dataclass
class DrawSample(beam.PTransform):
    """Hold back requests until all items are planned and it is known where the sample ends.

    From a ``PCollection`` of requests to the same. Whole plans and the end of the sample are files,
    from which the planner then takes each item's part.

    Attributes:
      planner: the job's planner.
      layout: paths of the dataset.
      guard: of the job, for planning.
    """

    planner: TotalPlanner
    layout: Layout
    guard: Guard | None = None

    def expand(self, requests: beam.PCollection[Any]) -> beam.PCollection[Any]:
        """Plan items, count their hashes, and gather those of the last bin."""
        planner, layout = self.planner, self.layout
        total = planner.sample.total
        assert total is not None
        items = (requests | "Whole" >> PlanItems(planner.whole(), layout.whole, self.guard)).items
        last = beam.pvalue.AsSingleton(
            items
            | "CountBins" >> beam.Map(_counted, planner, layout)
            | "AddCounts" >> beam.CombineGlobally(_AddCounts())
            | "FindBin" >> beam.Map(last_bin, total)
        )
        # On a disk every plan is read again, and nothing is noted.
        noted = () if files.is_local(layout.root) else beam.pvalue.AsList(items)
        end = beam.pvalue.AsSingleton(
            items
            | "TakeBin" >> beam.FlatMap(_within, planner, layout, last)
            | "Gather" >> beam.combiners.ToList()
            | "WriteEnd" >> beam.Map(_write_end, layout, last, noted)
        )
        return requests | "Wait" >> beam.Map(_first, end)


def _counted(
    item_id: str, planner: TotalPlanner, layout: Layout
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return count_bins(planner.hashes(layout, item_id))


class _AddCounts(beam.CombineFn):
    """Add the counts of bins to int64 ``[BINS]``."""

    def create_accumulator(self) -> npt.NDArray[np.int64]:
        return np.zeros(BINS, np.int64)

    def add_input(
        self,
        mutable_accumulator: npt.NDArray[np.int64],
        element: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    ) -> npt.NDArray[np.int64]:
        bins, counts = element
        mutable_accumulator[bins] += counts
        return mutable_accumulator

    def merge_accumulators(
        self, accumulators: Iterable[npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.int64]:
        total = np.zeros(BINS, np.int64)
        for counts in accumulators:
            total += counts
        return total

    def extract_output(self, accumulator: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return accumulator


def _within(
    item_id: str, planner: TotalPlanner, layout: Layout, last: LastBin | None
) -> Iterator[tuple[str, _Hashes]]:
    if last is None:
        return
    found = last.hashes(planner.hashes(layout, item_id))
    if len(found):
        yield item_id, found


def _write_end(
    found: list[tuple[str, _Hashes]], layout: Layout, last: LastBin | None, items: Sequence[str]
) -> SampleEnd:
    end = last.end(found) if last else SampleEnd()
    if items:
        headers = {item: json.loads(text) for item, text in update_index(layout.whole).items()}
        wholes = digests_in(headers, items)
        end = dataclasses.replace(end, drawn_from=set_digest(wholes) if wholes else "")
    write_end_file(layout.sample, end)
    return end


def _first(request: Any, _end: SampleEnd) -> Any:
    return request
