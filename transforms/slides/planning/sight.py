"""What planning sees of a slide before it chooses patches: resolution, levels, tissue."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.memory import PLANNING
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.slides.planning.grid import Grid
from beamscope.transforms.slides.planning.limits import check_dimensions
from beamscope.transforms.slides.planning.plan import (
    EmptyPlan,
    FailedPlan,
    SlideFacts,
    SlidePlan,
)
from beamscope.transforms.slides.planning.resolution import SlideMpp, resolve_mpp
from beamscope.transforms.slides.planning.slide_tissue import BOUNDS_X, given_tissue, tissue_mask
from beamscope.transforms.slides.planning.view import (
    TISSUE_MPP,
    View,
    choose_view,
    memory_of_plan,
)
from beamscope.transforms.slides.readers.base import NotServed, SlideReader
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.registry import READERS
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.tiff_contents import GENERIC, check_generic_tiff
from beamscope.transforms.slides.tissue.given import GivenTissue
from beamscope.transforms.slides.tissue.thumbnail import Thumbnail
from beamscope.transforms.storage.cache import FileCache


def look_at_slide(
    request: SlideRequest, settings: SlideSettings, cache: FileCache | None = None
) -> SlidePlan | Sight:
    """Open a slide and find its tissue, or say why there is nothing to be seen.

    Args:
      request: which slide.
      settings: how it is cut into patches.
      cache: where local copies of remote slides are kept; None where all are local.

    Returns:
      what is to be seen; the plan of a slide that failed, or is smaller than a patch.
    """
    names = READERS.names() if settings.reader == "auto" else (settings.reader,)
    refusals: list[_Refusal] = []
    for name in names:
        found = _look_by(name, _Task(request, settings, cache))
        if not isinstance(found, _Refusal):
            return found
        refusals.append(found)
    # One that says what is wrong with the file, else the last.
    telling = [r for r in refusals if r.answer.kind != Kind.NOT_SERVED]
    return (telling or refusals[-1:])[0].as_plan(request)


@dataclasses.dataclass(frozen=True, eq=False)
class Sight:
    """What planning sees of a slide.

    Attributes:
      opened: the attributes of an `OpenedPlan`.
      grid: every patch that fits on the slide.
      read: how patches are read.
      mpp: level-0 resolution, µm/px.
      thumbnail: of the slide.
      small: the thumbnail at `TISSUE_MPP`, or as it is where it is coarser.
      tissue: on the pixels of `small`, bool ``[h, w]``, or float32 for parts of pixels.
      given: the user's mask; None where there is none.
      in_bounds: whether the slide says its bounds, from whose corner QuPath counts.
    """

    opened: Mapping[str, Any]
    grid: Grid
    read: ReadPlan
    mpp: float
    thumbnail: Thumbnail
    small: Thumbnail
    tissue: npt.NDArray[np.bool_] | npt.NDArray[np.float32]
    given: GivenTissue | None
    in_bounds: bool


@dataclasses.dataclass(frozen=True)
class _Task:
    """The arguments of `plan_slide`."""

    request: SlideRequest
    settings: SlideSettings
    cache: FileCache | None


@dataclasses.dataclass(frozen=True)
class _Refusal:
    """A reader's refusal, with the facts that were known by then, as in a `FailedPlan`."""

    answer: NotServed
    facts: SlideFacts | None = None
    mpp: SlideMpp | None = None

    def as_plan(self, request: SlideRequest) -> FailedPlan:
        error = InputError(self.answer.kind, self.answer.reason)
        return _failed(request, error, self.facts, self.mpp)


def _failed(
    request: SlideRequest, error: InputError, facts: SlideFacts | None, mpp: SlideMpp | None
) -> FailedPlan:
    problem = Problem(request.slide_id, request.uri, "plan", error.kind, error.message)
    return FailedPlan(
        slide_id=request.slide_id, uri=request.uri, problem=problem, facts=facts, mpp=mpp
    )


def _look_by(reader: str, task: _Task) -> SlidePlan | Sight | _Refusal:
    """Look at a slide by one reader: open it, find its resolution, its levels and its tissue."""
    request, settings = task.request, task.settings
    facts = mpp = None
    try:
        slide = READERS.get(reader).open_to_plan(request.uri, cache=task.cache)
        if isinstance(slide, NotServed):
            return _Refusal(slide)
        check_dimensions(*slide.dimensions)
        facts = SlideFacts(slide.vendor, *slide.dimensions)
        if slide.vendor == GENERIC:
            check_generic_tiff(request.uri)
        mpp = resolve_mpp(
            slide.properties,
            manifest_mpp=request.mpp,
            assume_mpp=request.assume_mpp,
            allow_implausible=settings.allow_implausible_mpp,
        )
        with PLANNING.hold(memory_of_plan(slide, mpp.mean, settings)):
            return _see(slide, reader, facts, mpp, task)
    except InputError as error:
        return _failed(request, error, facts, mpp)


def _see(
    slide: SlideReader, reader: str, facts: SlideFacts, mpp: SlideMpp, task: _Task
) -> SlidePlan | Sight | _Refusal:
    """Look at an open slide whose resolution is known; see `_look_by`."""
    request, settings = task.request, task.settings
    view = choose_view(slide, mpp.mean, settings)
    if isinstance(view, NotServed):
        return _Refusal(view, facts, mpp)
    opened: dict[str, Any] = {
        "slide_id": request.slide_id,
        "uri": request.uri,
        "facts": facts,
        "mpp": mpp,
        "read": view.read,
        "reader": reader,
        "version": slide.version,
    }
    if view.thumbnail is None:
        return EmptyPlan(reason=_too_small(view), **opened)
    small = view.thumbnail.shrunk(TISSUE_MPP / mpp.mean)
    given = given_tissue(small, slide, request, settings, task.cache)
    tissue = given.coverage if given else tissue_mask(small, settings, mpp.mean)
    return Sight(
        opened,
        view.grid,
        view.read,
        mpp.mean,
        view.thumbnail,
        small,
        tissue,
        given,
        BOUNDS_X in slide.properties,
    )


def _too_small(view: View) -> str:
    return (
        f"smaller than a patch: {view.region.width} x {view.region.height} level-0 pixels, "
        f"a patch has {view.read.size_level0:.0f}"
    )
