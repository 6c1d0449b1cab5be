"""Take each slide's part of a sample in total, from plans of whole slides."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.output.ptransforms.damage import repaired_by_another_pass
from beamscope.transforms.output.sealed import DamagedError
from beamscope.transforms.patches.drawn import Drawn, drawn_now
from beamscope.transforms.patches.sampling import Sample, place_keys
from beamscope.transforms.patches.total import SampleEnd
from beamscope.transforms.patches.whole_plans import sample_end
from beamscope.transforms.slides.planning.plan import EmptyPlan, OpenedPlan, ReadyPlan, SlidePlan
from beamscope.transforms.slides.planning.plan_file import (
    read_picture,
    read_plan,
    write_plan,
)
from beamscope.transforms.slides.planning.sampled_planner import NOT_SAMPLED, plan_of
from beamscope.transforms.slides.planning.slide_planner import SlidePlanner
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.storage.files import FileInfo


@dataclasses.dataclass(frozen=True)
class TotalSlidePlanner(SlidePlanner):
    """Plan the patches of a slide that a sample of all slides has.

    It reads two files of the output: the plan of the whole slide, and where the sample ends.
    `DrawSample` has them written. A plan of an earlier start holds if the sample is still the same.

    Attributes:
      settings: how slides are cut into patches.
      cache: where remote slides are copied to that only OpenSlide reads; None where there is none.
      measure: whether to count patches of poor quality, even if none is left out for it.
      sample: how many patches are taken of all slides.
      drawn: the sample of an earlier start, where it is the same now.
    """

    sample: Sample = dataclasses.field(default_factory=Sample, kw_only=True)
    drawn: Drawn | None = dataclasses.field(default=None, kw_only=True)

    # The planner of whole slides counts slides.
    items = "samples"

    def whole(self) -> SlidePlanner:
        """Return the planner of whole slides."""
        return SlidePlanner(self.settings, self.cache, self.measure)

    def hashes(self, layout: Layout, item_id: str) -> npt.NDArray[np.uint64]:
        """Return the hashes of a slide's patches, uint64 ``[n]``, from its whole plan.

        Raises:
          RepairNeededError: the plan is damaged or gone.
        """
        with repaired_by_another_pass():
            return self._hashes(read_plan(layout.whole.plan(item_id)))

    def find(self, layout: Layout, request: SlideRequest) -> SlidePlan | None:
        """Return the plan of an earlier start, if the sample has the same patches now."""
        found = super().find(layout, request)
        try:
            part = self._part(read_plan(layout.whole.plan(request.slide_id)), sample_end(layout))
        except (DamagedError, FileNotFoundError):
            return None
        return found if found is not None and _same(found, part) else None

    def holds(
        self,
        header: Mapping[str, Any],
        request: SlideRequest,
        seen: Mapping[str, FileInfo | None],
    ) -> bool:
        """Return whether the item has not changed, and neither has the sample.

        Without `drawn` it is not known: only the whole plans tell.
        """
        return (
            self.drawn is not None
            and self.drawn.holds_for(header, request.id)
            and super().holds(header, request, seen)
        )

    def make(self, layout: Layout, request: SlideRequest) -> SlidePlan:
        """Take the slide's part from its whole plan.

        Raises:
          RepairNeededError: a file that it reads is damaged or gone.
        """
        with repaired_by_another_pass():
            end = sample_end(layout)
            whole = read_plan(layout.whole.plan(request.slide_id))
            picture = read_picture(layout.whole, whole)
            if picture is not None and isinstance(whole, ReadyPlan | EmptyPlan):
                whole = dataclasses.replace(whole, picture=picture)
        return self._part(whole, end)

    def write(self, layout: Layout, request: SlideRequest, plan: SlidePlan) -> None:
        """Write a plan and its picture, and from which sample it is taken."""
        with repaired_by_another_pass():
            drawn = drawn_now(layout, request.slide_id)
        write_plan(layout, request, plan, drawn)

    def _hashes(self, plan: SlidePlan) -> npt.NDArray[np.uint64]:
        if not isinstance(plan, ReadyPlan):
            return np.empty(0, np.uint64)
        return self.sample.hashes(plan.slide_id, place_keys(plan.x_level0, plan.y_level0))

    def _part(self, whole: SlidePlan, end: SampleEnd) -> SlidePlan:
        if not isinstance(whole, ReadyPlan):
            return whole
        taken = end.taken(whole.slide_id, self._hashes(whole))
        return plan_of(whole, taken) if len(taken) else _nothing_of(whole)


def _nothing_of(whole: ReadyPlan) -> EmptyPlan:
    opened = {field.name: getattr(whole, field.name) for field in dataclasses.fields(OpenedPlan)}
    opened["funnel"] = {**whole.funnel, NOT_SAMPLED: whole.patches}
    reason = f"the sample has no patch of it: {whole.patches:,} are planned"
    return EmptyPlan(reason=reason, picture=whole.picture, **opened)


def _same(one: SlidePlan, other: SlidePlan) -> bool:
    """Return whether two plans of the same file have the same patches."""
    if isinstance(one, ReadyPlan) and isinstance(other, ReadyPlan):
        return (
            one.funnel == other.funnel
            and np.array_equal(one.x_level0, other.x_level0)
            and np.array_equal(one.y_level0, other.y_level0)
        )
    if isinstance(one, EmptyPlan) and isinstance(other, EmptyPlan):
        return (one.reason, one.funnel) == (other.reason, other.funnel)
    return False
