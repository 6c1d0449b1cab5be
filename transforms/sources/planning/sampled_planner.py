"""Plan sources, and take a sample of their images."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from beamscope.transforms.patches.sampling import Sample, name_keys
from beamscope.transforms.sources.planning.plan import SourcePlan, block_sizes
from beamscope.transforms.sources.planning.source_planner import SourcePlanner
from beamscope.transforms.sources.sources import Source

NOT_SAMPLED = "not_sampled"


@dataclasses.dataclass(frozen=True)
class SampledSourcePlanner(SourcePlanner):
    """Plan sources; a plan holds no image beside those of the sample.

    Attributes:
      settings: how images are read.
      sample: how many images are taken of each source; a tar.gz, which has no listing, is whole.
    """

    sample: Sample = dataclasses.field(default_factory=Sample, kw_only=True)

    def plan(self, request: Source) -> SourcePlan:
        """Plan a source from its listing."""
        return sampled_plan(super().plan(request), self.sample, self.settings.block_size)


def sampled_plan(plan: SourcePlan, sample: Sample, block_size: int) -> SourcePlan:
    """Return a plan of the sample's images, in the order of the whole plan."""
    names = [member.name for member in plan.members]
    return plan_of(plan, sample.chosen(plan.source.id, name_keys(names)), block_size)


def plan_of(plan: SourcePlan, taken: npt.NDArray[np.intp], block_size: int) -> SourcePlan:
    """Return a plan of some of the images.

    Args:
      plan: the whole plan.
      taken: ascending indices of the images.
      block_size: most images in a block.
    """
    left = len(plan.members) - len(taken)
    if not left:
        return plan
    return dataclasses.replace(
        plan,
        members=tuple(plan.members[place] for place in taken),
        block_sizes=block_sizes(len(taken), block_size),
        skipped={**plan.skipped, NOT_SAMPLED: left},
    )
