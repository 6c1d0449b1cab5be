"""PTransform: find what is planned and embedded, and refuse to go on where something is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam

from beamscope.transforms.blocks import PartRef
from beamscope.transforms.metrics import count
from beamscope.transforms.output.found import Found, find_found
from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.parts import blocks_of_all, finished_parts, parts_among
from beamscope.transforms.output.planner import ItemPlanner
from beamscope.transforms.output.plans import PlanFile
from beamscope.transforms.output.progress import PlanGlance
from beamscope.transforms.output.ptransforms.damage import damaged_part, damaged_plan
from beamscope.transforms.output.ptransforms.plan_items import ITEMS, PARTS
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.problems import JobStoppedError
from beamscope.transforms.storage import files

_MISSING = "missing"


@dataclasses.dataclass(frozen=True)
class Missing:
    """What there is not yet.

    Attributes:
      items: number of items without a plan that holds.
      blocks: number of planned blocks that are not finished.
    """

    items: int = 0
    blocks: int = 0

    def __add__(self, other: Missing) -> Missing:
        return Missing(self.items + other.items, self.blocks + other.blocks)


@dataclasses.dataclass
class FindFinished(beam.PTransform):
    """Find the parts of items that are finished: nothing is planned, read or embedded.

    The input is a ``PCollection`` of requests; the output is a dict of ``items`` (the id of every
    item) and ``parts`` (`PartRef`s), as `SumUpItems` takes it. An item that has failed when it was
    planned counts as finished.

    Attributes:
      planner: the job's planner.
      layout: paths of the dataset.
      glance: function from a plan to its `PlanGlance`.
      remedy: what does what is missing, for the error.
      found: see `PlanItems`.
    """

    planner: ItemPlanner[Any, Any]
    layout: Layout
    glance: Callable[[PlanFile], PlanGlance]
    remedy: str
    found: Found | None = None

    def expand(self, requests: beam.PCollection[Any]) -> dict[str, beam.PCollection[Any]]:
        """Look for each item on any free worker, and let nothing pass before all are found."""
        find = beam.ParDo(_FindFn(self.planner, self.layout, self.glance, self.found))
        found = (
            requests
            | "SpreadItems" >> beam.Reshuffle()
            | "FindItem" >> find.with_outputs(PARTS, ITEMS, main=_MISSING)
        )
        missing = beam.pvalue.AsSingleton(
            found[_MISSING] | "CountMissing" >> beam.CombineGlobally(_added)
        )
        return {
            name: found[name]
            | f"Check{name.title()}" >> beam.Map(_checked, missing, self.planner.items, self.remedy)
            for name in (ITEMS, PARTS)
        }


@dataclasses.dataclass
class _FindFn(beam.DoFn):
    planner: ItemPlanner[Any, Any]
    layout: Layout
    glance: Callable[[PlanFile], PlanGlance]
    found: Found | None

    def process(self, request: Any) -> Iterator[Any]:
        planner, layout = self.planner, self.layout
        known = find_found(self.found, layout, request.id)
        if known is not None:
            sizes = planner.sizes_in(known.header)
            parts = parts_among(known.parts, request.id, sizes, damaged_part)
            done = blocks_of_all(layout, parts)
            yield from self._finished(request, parts, len(sizes) - len(done))
            return
        plan = self._plan(request)
        if plan is None:
            if self._has_failed(request):
                yield beam.pvalue.TaggedOutput(ITEMS, request.id)
            else:
                yield Missing(items=1)
            return
        parts = finished_parts(layout, request.id, planner.block_sizes(plan), damaged_part)
        done = blocks_of_all(layout, parts)
        yield from self._finished(request, parts, sum(1 for _ in planner.blocks(plan, done)))

    def _finished(self, request: Any, parts: list[PartRef], left: int) -> Iterator[Any]:
        count("blocks_embedded_before", len(parts))
        for part in parts:
            yield beam.pvalue.TaggedOutput(PARTS, part)
        if left:
            yield Missing(blocks=left)
        yield beam.pvalue.TaggedOutput(ITEMS, request.id)

    def _plan(self, request: Any) -> Any:
        try:
            return self.planner.find(self.layout, request)
        except DamagedError as error:
            files.delete([error.path])
            damaged_plan(error)
            return None

    def _has_failed(self, request: Any) -> bool:
        """Return whether the plan says that nothing of an item can be used."""
        try:
            return self.glance(self.layout.plan(request.id)).failed
        except (DamagedError, FileNotFoundError):
            return False


def _added(found: Iterable[Missing]) -> Missing:
    return sum(found, Missing())


def _checked(element: Any, missing: Missing, items: str, remedy: str) -> Any:
    if missing == Missing():
        return element
    reasons = []
    if missing.items:
        reasons.append(f"{items} without a plan: {missing.items:,}")
    if missing.blocks:
        reasons.append(f"blocks that are not embedded: {missing.blocks:,}")
    raise JobStoppedError(f"--only assemble: {'; '.join(reasons)}; finish by: {remedy}")
