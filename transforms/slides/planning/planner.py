"""Planning one slide: its resolution, its tissue, its patches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.memory import PLANNING
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.slides.picture import PICTURE_PX, draw_plan
from beamscope.transforms.slides.planning.grid import Grid, lay_grid
from beamscope.transforms.slides.planning.level_check import agrees
from beamscope.transforms.slides.planning.limits import (
    MAX_PLACES,
    MAX_THUMBNAIL_PIXELS,
    check_dimensions,
    check_read,
    check_seen,
)
from beamscope.transforms.slides.planning.patches import choose_patches, rectangles
from beamscope.transforms.slides.planning.plan import (
    EmptyPlan,
    FailedPlan,
    ReadyPlan,
    SlideFacts,
    SlidePlan,
)
from beamscope.transforms.slides.planning.resolution import SlideMpp, plan_reading, resolve_mpp
from beamscope.transforms.slides.readers.base import NotServed, SlideReader
from beamscope.transforms.slides.readers.geometry import Level, ReadPlan, Region
from beamscope.transforms.slides.readers.registry import READERS
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.tiff_contents import GENERIC, check_generic_tiff
from beamscope.transforms.slides.tissue.detection import find_tissue, outline
from beamscope.transforms.slides.tissue.given import GivenTissue, lay_mask, shown
from beamscope.transforms.slides.tissue.masks import Placement
from beamscope.transforms.slides.tissue.thumbnail import (
    Thumbnail,
    content_region,
    read_thumbnail,
    thumbnail_level,
)
from beamscope.transforms.storage.cache import FileCache

# Coarse enough to be quick, fine enough for the outline of a needle biopsy.
TISSUE_MPP = 8.0
# How far from an unreadable place tissue is not decided, but assumed: some pixels of that.
UNSURE_UM = 64.0
_BOUNDS = "openslide.bounds-x"
# Of a level, in one pixel of the thumbnail.
MOST_SHRUNK = 1024
# What planning takes at most, measured: masks, labels and sums of the thumbnail, and the grid.
BYTES_A_THUMBNAIL_PIXEL = 60
BYTES_A_PLACE = 200


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
        with PLANNING.hold(_memory_of_plan(slide, mpp.mean, settings)):
            return _see(slide, reader, facts, mpp, task)
    except InputError as error:
        return _failed(request, error, facts, mpp)


def _see(
    slide: SlideReader, reader: str, facts: SlideFacts, mpp: SlideMpp, task: _Task
) -> SlidePlan | Sight | _Refusal:
    """Look at an open slide whose resolution is known; see `_look_by`."""
    request, settings = task.request, task.settings
    view = _look_at(slide, mpp.mean, settings)
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
    given = _given_tissue(small, slide, task)
    tissue = given.coverage if given else _tissue_mask(small, settings, mpp.mean)
    return Sight(
        opened,
        view.grid,
        view.read,
        mpp.mean,
        view.thumbnail,
        small,
        tissue,
        given,
        _BOUNDS in slide.properties,
    )


def _memory_of_plan(slide: SlideReader, slide_mpp: float, settings: SlideSettings) -> int:
    """Estimate the bytes that a plan takes, from its thumbnail and its grid."""
    region = content_region(slide)
    area = max(region.width, 1) * max(region.height, 1)
    thumbnail = area / _thumbnail_scale(slide.levels, region, slide_mpp) ** 2
    places = min(area / (settings.stride_px * settings.mpp / slide_mpp) ** 2, MAX_PLACES)
    return round(thumbnail * BYTES_A_THUMBNAIL_PIXEL + places * BYTES_A_PLACE)


@dataclasses.dataclass(frozen=True, eq=False)
class _View:
    """The levels that a slide is read by, and its thumbnail.

    Attributes:
      read: how patches are read.
      region: where the slide has content.
      grid: every patch that fits into it.
      thumbnail: of the region; None where no patch fits.
    """

    read: ReadPlan
    region: Region
    grid: Grid
    thumbnail: Thumbnail | None


def _look_at(slide: SlideReader, slide_mpp: float, settings: SlideSettings) -> _View | NotServed:
    """Choose the levels of patches and thumbnail, without those that do not show the slide."""
    region = content_region(slide)
    levels = slide.levels
    while True:
        read = plan_reading(
            levels,
            slide_mpp,
            mpp=settings.mpp,
            patch_px=settings.patch_px,
            allow_upsampling=settings.allow_upsampling,
        )
        check_read(read.read_px, read.level)
        scale = _thumbnail_scale(levels, region, slide_mpp)
        seen = thumbnail_level(levels, scale)
        refusal = slide.serves_level(read.level) or slide.serves_level(seen.number)
        if refusal:
            return refusal
        if settings.downscale == "decoder" and slide.can_shrink(read):
            read = dataclasses.replace(read, downscale="decoder")
        grid = lay_grid(region, read, settings.stride_px)
        if not len(grid):
            return _View(read, region, grid, None)
        check_seen(region, seen)
        thumbnail = read_thumbnail(slide, seen, region, scale)
        false = None
        if not slide.knows_levels:
            false = _false_level(slide, levels, read, seen, thumbnail)
        if false is None:
            return _View(read, region, grid, thumbnail)
        levels = tuple(level for level in levels if level != false)


def _false_level(
    slide: SlideReader, levels: Sequence[Level], read: ReadPlan, seen: Level, thumbnail: Thumbnail
) -> Level | None:
    """Return the level of the thumbnail or of the patches that does not show the slide."""
    full = levels[0]
    if seen != full and not agrees(slide, full, thumbnail):
        return seen
    for level in levels[1:]:
        if level.number == read.level and level != seen and not agrees(slide, level, thumbnail):
            return level
    return None


def _thumbnail_scale(levels: Sequence[Level], region: Region, slide_mpp: float) -> float:
    """Level-0 pixels per pixel of a thumbnail that serves both the picture and the tissue.

    A level that is there is read as it is, where the picture then has half its size at least: the
    next finer one would be sixteen times the work.
    """
    finest = max(region.width, region.height) / PICTURE_PX
    # A slide that is larger than a glass is seen more coarsely than others.
    least = math.sqrt(max(region.width * region.height, 1) / MAX_THUMBNAIL_PIXELS)
    tissue = max(TISSUE_MPP / slide_mpp, least)
    most = min(tissue, 2 * finest)
    fitting = [level.downsample for level in levels if finest <= level.downsample <= most]
    scale = max(max(fitting, default=min(tissue, finest)), least)
    # Where a slide says that its pixels are next to nothing, one of the thumbnail would have
    # millions of them.
    return min(scale, MOST_SHRUNK * max(level.downsample for level in levels))


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


def _given_tissue(thumbnail: Thumbnail, slide: SlideReader, task: _Task) -> GivenTissue | None:
    """Lay the user's mask on the thumbnail; None where tissue is found in another way."""
    request, settings = task.request, task.settings
    if settings.tissue != "mask":
        return None
    if request.mask is None:
        if settings.otsu_without_mask:
            return None
        raise InputError(
            Kind.MISSING_MASK,
            "neither the manifest nor --masks has a mask for it; "
            "--tissue mask_or_otsu finds the tissue of such slides",
        )
    region = thumbnail.region
    bounds = None
    if _BOUNDS in slide.properties:
        bounds = (region.x, region.y, region.width, region.height)
    height, width = thumbnail.scanned.shape
    place = Placement(
        (height, width),
        extent_level0=(region.width, region.height),
        origin_level0=(region.x, region.y),
        bounds=bounds,
        dimensions=slide.dimensions,
    )
    return lay_mask(
        request.mask, request.uri, place, classes=settings.mask_classes, cache=task.cache
    )


def _tissue_mask(
    thumbnail: Thumbnail, settings: SlideSettings, slide_mpp: float
) -> npt.NDArray[np.bool_]:
    """Return where the tissue is, bool ``[h, w]`` on the thumbnail's pixels.

    What could not be read counts as tissue: its patches are then tried, and each that is really
    unreadable is reported, rather than left out in silence.
    """
    if settings.tissue == "none":
        return thumbnail.scanned
    mpp = slide_mpp * thumbnail.scale_x
    known = thumbnail.scanned & ~thumbnail.unreadable
    tissue = find_tissue(
        thumbnail.rgb,
        mpp=mpp,
        scanned=known,
        threshold=settings.tissue_threshold,
        min_object_um2=settings.min_object_um2,
        min_hole_um2=settings.min_hole_um2,
    ).mask
    return tissue | unsure_area(thumbnail, mpp)


def unsure_area(thumbnail: Thumbnail, mpp: float) -> npt.NDArray[np.bool_]:
    """Return what could not be seen of a slide, and what lies so near that tissue is unsure there.

    Smoothing and the filling of holes are unsure beside it.

    Args:
      thumbnail: of the slide.
      mpp: its resolution, µm/px.
    """
    if not thumbnail.unreadable.any():
        return thumbnail.unreadable
    # Beside what could not be seen, smoothing and the filling of holes are unsure too.
    side = 2 * min(round(UNSURE_UM / mpp), max(thumbnail.unreadable.shape)) + 1
    unsure = cv2.dilate(thumbnail.unreadable.astype(np.uint8), np.ones((side, side), np.uint8))
    return unsure.astype(np.bool_)


def _too_small(view: _View) -> str:
    return (
        f"smaller than a patch: {view.region.width} x {view.region.height} level-0 pixels, "
        f"a patch has {view.read.size_level0:.0f}"
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
