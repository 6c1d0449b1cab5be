"""Slides as items of a job: how they are planned, found again, and cut into blocks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.planner import ItemPlanner
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.slides.planning.caption import captioned
from beamscope.transforms.slides.planning.plan import FailedPlan, OpenedPlan, SlideBlock, SlidePlan
from beamscope.transforms.slides.planning.plan_file import (
    digest_of_plan,
    find_plan,
    header_holds,
    outline_of,
    plan_picture,
    read_plan,
    write_plan,
)
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage import files
from beamscope.transforms.storage.cache import FileCache


@dataclasses.dataclass(frozen=True)
class SlidePlanner(ItemPlanner[SlideRequest, SlidePlan]):
    """Plan slides.

    Attributes:
      settings: how slides are cut into patches.
      cache: where remote slides are copied to that only OpenSlide reads; None where there is none.
      measure: whether to count patches of poor quality, even if none is left out for it.
    """

    settings: SlideSettings
    cache: FileCache | None = None
    measure: bool = False

    items = "slides"

    def find(self, layout: Layout, request: SlideRequest) -> SlidePlan | None:
        """Return the plan of an earlier start, where neither slide nor mask has changed."""
        return find_plan(layout, request, self.settings)

    def holds(
        self,
        header: Mapping[str, Any],
        request: SlideRequest,
        seen: Mapping[str, files.FileInfo | None],
    ) -> bool:
        """Return whether neither slide nor mask has changed since they were planned."""
        return header_holds(header, request, self.settings, seen)

    def sizes_in(self, header: Mapping[str, Any]) -> Sequence[int]:
        """Return how many patches each block has."""
        return outline_of(header).block_sizes()

    def read(self, layout: Layout, request: SlideRequest) -> SlidePlan | None:
        """Return the plan of an earlier start that holds."""
        try:
            return read_plan(layout.plan(request.slide_id))
        except FileNotFoundError:
            return None

    def make(self, layout: Layout, request: SlideRequest) -> SlidePlan:
        """Plan a slide, and show what is planned on its picture."""
        plan = plan_slide(request, self.settings, self.cache, measure=self.measure)
        picture = plan_picture(plan)
        if picture is not None and isinstance(plan, OpenedPlan):
            # At once, not at the end: a wrong resolution is seen before it has cost a day.
            files.write_bytes(layout.picture(request.slide_id), captioned(picture, plan))
        return plan

    def failed(self, request: SlideRequest, error: InputError) -> SlidePlan:
        """Return the plan of a slide of which nothing can be used."""
        problem = Problem(request.slide_id, request.uri, "plan", error.kind, error.message)
        return FailedPlan(slide_id=request.slide_id, uri=request.uri, problem=problem)

    def write(self, layout: Layout, request: SlideRequest, plan: SlidePlan) -> None:
        """Write a plan and its picture."""
        write_plan(layout, request, plan)

    def digest(self, request: SlideRequest, plan: SlidePlan) -> str:
        """Return the digest that the file of the plan has."""
        return digest_of_plan(request, plan)

    def block_sizes(self, plan: SlidePlan) -> Sequence[int]:
        """Return how many patches each block has."""
        return plan.block_sizes()

    def blocks(self, plan: SlidePlan, done: frozenset[int]) -> Iterator[SlideBlock]:
        """Yield the blocks that are not finished."""
        return (block for block in plan.blocks() if block.key.index not in done)

    def block_rows(self, block: SlideBlock) -> int:
        """Return the number of patches of a block."""
        return len(block)
