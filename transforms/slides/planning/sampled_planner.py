"""Plan slides, and take a sample of their patches."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from beamscope.transforms.output.layout import Layout
from beamscope.transforms.patches.sampling import Sample, place_keys
from beamscope.transforms.slides.planning.plan import ReadyPlan, SlidePlan
from beamscope.transforms.slides.planning.slide_planner import SlidePlanner
from beamscope.transforms.slides.requests import SlideRequest

# The step of a plan's funnel for patches that the sample does not have.
NOT_SAMPLED = "not_sampled"


@dataclasses.dataclass(frozen=True)
class SampledSlidePlanner(SlidePlanner):
    """Plan slides; a plan holds no patch beside those of the sample.

    Attributes:
      settings: how slides are cut into patches.
      cache: where remote slides are copied to that only OpenSlide reads; None where there is none.
      measure: whether to count patches of poor quality, even if none is left out for it.
      sample: how many patches are taken of each slide.
    """

    sample: Sample = dataclasses.field(default_factory=Sample, kw_only=True)

    def make(self, layout: Layout, request: SlideRequest) -> SlidePlan:
        """Plan a slide, and show all of its patches on its picture."""
        return sampled_plan(super().make(layout, request), self.sample)


def sampled_plan(plan: SlidePlan, sample: Sample) -> SlidePlan:
    """Return a plan of the sample's patches, in the order of the whole plan."""
    if not isinstance(plan, ReadyPlan):
        return plan
    return plan_of(plan, sample.chosen(plan.slide_id, place_keys(plan.x_level0, plan.y_level0)))


def plan_of(plan: ReadyPlan, taken: npt.NDArray[np.intp]) -> ReadyPlan:
    """Return a plan of some of the patches.

    Args:
      plan: the whole plan.
      taken: ascending indices of the patches, at least one.
    """
    if len(taken) == plan.patches:
        return plan
    return dataclasses.replace(
        plan,
        x_level0=plan.x_level0[taken],
        y_level0=plan.y_level0[taken],
        tissue=plan.tissue[taken],
        classes=plan.classes and tuple(plan.classes[place] for place in taken),
        funnel={**plan.funnel, NOT_SAMPLED: plan.patches - len(taken)},
    )
