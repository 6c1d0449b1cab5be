"""Take each source's part of a sample in total, from plans of whole sources."""

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
from beamscope.transforms.patches.sampling import Sample, name_keys
from beamscope.transforms.patches.total import SampleEnd
from beamscope.transforms.patches.whole_plans import sample_end
from beamscope.transforms.sources.planning.plan import SourcePlan
from beamscope.transforms.sources.planning.plan_file import (
    earlier_plan,
    read_plan,
    write_plan,
)
from beamscope.transforms.sources.planning.replan import replan
from beamscope.transforms.sources.planning.sampled_planner import plan_of
from beamscope.transforms.sources.planning.source_planner import SourcePlanner
from beamscope.transforms.sources.sources import Source
from beamscope.transforms.storage.files import FileInfo


@dataclasses.dataclass(frozen=True)
class TotalSourcePlanner(SourcePlanner):
    """Plan the images of a source that a sample of all sources has.

    It reads two files of the output: the plan of the whole source, and where the sample ends.
    `DrawSample` has them written. A plan of an earlier start holds if the sample is still the same.

    Attributes:
      settings: how images are read.
      sample: how many images are taken of all sources, of which none is a tar.gz.
      drawn: the sample of an earlier start, where it is the same now.
    """

    sample: Sample = dataclasses.field(default_factory=Sample, kw_only=True)
    drawn: Drawn | None = dataclasses.field(default=None, kw_only=True)

    # The planner of whole sources counts sources.
    items = "samples"

    def whole(self) -> SourcePlanner:
        """Return the planner of whole sources."""
        return SourcePlanner(self.settings)

    def hashes(self, layout: Layout, item_id: str) -> npt.NDArray[np.uint64]:
        """Return the hashes of a source's images, uint64 ``[n]``, from its whole plan.

        Raises:
          RepairNeededError: the plan is damaged or gone.
        """
        with repaired_by_another_pass():
            return self._hashes(read_plan(layout.whole.plan(item_id)))

    def find(self, layout: Layout, request: Source) -> SourcePlan | None:
        """Return the plan of an earlier start, if the sample has the same images now."""
        found = super().find(layout, request)
        try:
            part = self._part(read_plan(layout.whole.plan(request.id)), sample_end(layout))
        except (DamagedError, FileNotFoundError):
            return None
        if found is None or found.skipped != part.skipped:
            return None
        # A directory that has changed keeps its blocks, so that the order may be another.
        return found if set(found.members) == set(part.members) else None

    def holds(
        self,
        header: Mapping[str, Any],
        request: Source,
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

    def make(self, layout: Layout, request: Source) -> SourcePlan:
        """Take the source's part from its whole plan.

        Raises:
          RepairNeededError: a file that it reads is damaged or gone.
        """
        with repaired_by_another_pass():
            part = self._part(read_plan(layout.whole.plan(request.id)), sample_end(layout))
        return replan(earlier_plan(layout, request), part, self.settings.block_size)

    def write(self, layout: Layout, request: Source, plan: SourcePlan) -> None:
        """Write a plan, and from which sample it is taken."""
        with repaired_by_another_pass():
            drawn = drawn_now(layout, request.id)
        write_plan(layout, plan, drawn)

    def _hashes(self, plan: SourcePlan) -> npt.NDArray[np.uint64]:
        keys = name_keys([member.name for member in plan.members])
        return self.sample.hashes(plan.source.id, keys)

    def _part(self, whole: SourcePlan, end: SampleEnd) -> SourcePlan:
        taken = end.taken(whole.source.id, self._hashes(whole))
        return plan_of(whole, taken, self.settings.block_size)
