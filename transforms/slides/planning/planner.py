"""Planning one slide: what is to be seen of it, and the patches that are taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.picture import draw_plan
from beamscope.transforms.slides.planning.patches import choose_patches, rectangles
from beamscope.transforms.slides.planning.plan import (
    EmptyPlan,
    ReadyPlan,
    SlidePlan,
)
from beamscope.transforms.slides.planning.sight import Sight, look_at_slide
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.tissue.detection import outline
from beamscope.transforms.slides.tissue.given import GivenTissue, shown
from beamscope.transforms.storage.cache import FileCache


def plan_slide(
    request: SlideRequest,
    settings: SlideSettings,
    cache: FileCache | None = None,
    *,
    measure: bool = True,
) -> SlidePlan:
    """Plan a slide. What is wrong with the slide is part of the plan, never an exception.

    One reader reads all of a slide, for its plan and its patches. Under ``auto`` it is the first of
    the registry that serves for both. So a remote slide that is read by ranges is never copied.

    Args:
      request: which slide.
      settings: how it is cut into patches.
      cache: where local copies of remote slides are kept; None where all are local.
      measure: see `choose_patches`.
    """
    sight = look_at_slide(request, settings, cache)
    return sight if isinstance(sight, SlidePlan) else _plan_patches(sight, settings, measure)


def _plan_patches(sight: Sight, settings: SlideSettings, measure: bool) -> EmptyPlan | ReadyPlan:
    """Choose the patches that have enough tissue, and draw them."""
    read, small, given = sight.read, sight.small, sight.given
    choice = choose_patches(
        sight.grid, read, small, sight.tissue, settings, by_mask=given is not None, measure=measure
    )
    chosen = choice.grid
    x_level0, y_level0 = chosen.x_level0.astype(np.int32), chosen.y_level0.astype(np.int32)
    picture = draw_plan(
        sight.thumbnail,
        outline(shown(sight.tissue)),
        small.scale_x / sight.thumbnail.scale_x,
        x_level0,
        y_level0,
        read.size_level0,
    )
    counted: dict[str, Any] = {"funnel": dict(choice.funnel), "poor": dict(choice.poor)}
    if not len(chosen):
        reason = _why_empty(sight.tissue, choice.funnel, given, settings)
        return EmptyPlan(reason=reason, picture=picture, **sight.opened, **counted)
    return ReadyPlan(
        x_level0=x_level0,
        y_level0=y_level0,
        tissue=choice.tissue,
        classes=given.classes(*rectangles(chosen, read, small)) if given else None,
        block_size=settings.block_size,
        picture=picture,
        **sight.opened,
        **counted,
    )


def _why_empty(
    mask: npt.NDArray[np.bool_] | npt.NDArray[np.float32],
    funnel: Mapping[str, int],
    given: GivenTissue | None,
    settings: SlideSettings,
) -> str:
    dropped = {reason: funnel[reason] for reason, _ in settings.drop if funnel.get(reason)}
    if dropped:
        reasons = ", ".join(f"{number} {reason}" for reason, number in dropped.items())
        return f"no patch is left by --drop: {reasons}"
    if settings.tissue == "none":
        return "nothing was scanned: the slide is transparent everywhere"
    if given and given.empty_reason:
        return given.empty_reason
    if not mask.any():
        return "no tissue found"
    return f"no patch is {settings.min_tissue:.0%} tissue"
