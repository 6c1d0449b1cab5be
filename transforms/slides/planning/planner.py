"""Planning one slide: its resolution, its tissue, its patches."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, Problem
from beamscope.transforms.slides.picture import PICTURE_PX, draw_plan
from beamscope.transforms.slides.planning.grid import Grid, Region, in_block_order, lay_grid
from beamscope.transforms.slides.planning.plan import SlidePlan
from beamscope.transforms.slides.planning.resolution import ReadPlan, plan_reading, resolve_mpp
from beamscope.transforms.slides.readers.native.slide import NativeSlide, lattice
from beamscope.transforms.slides.readers.openslide_reader import OpenedSlide
from beamscope.transforms.slides.readers.pool import open_to_plan
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.tiff_contents import GENERIC, check_generic_tiff
from beamscope.transforms.slides.tissue.detection import find_tissue, outline, tissue_fraction
from beamscope.transforms.slides.tissue.given import GivenTissue, lay_mask, shown
from beamscope.transforms.slides.tissue.masks import Placement
from beamscope.transforms.slides.tissue.thumbnail import (
    Thumbnail,
    content_region,
    read_thumbnail,
    thumbnail_level,
)
from beamscope.transforms.storage.cache import FileCache

F64 = npt.NDArray[np.float64]

# Coarse enough to be quick, fine enough for the outline of a needle biopsy.
TISSUE_MPP = 8.0
# How far from an unreadable place tissue is not decided, but assumed: some pixels of that.
UNSURE_UM = 64.0


def plan_slide(
    request: SlideRequest, settings: SlideSettings, cache: FileCache | None = None
) -> SlidePlan:
    """Plans a slide. What is wrong with the slide is part of the plan, never an exception.

    One reader sees to all of a slide, its plan and its patches: under ``auto`` OpenSlide where the
    native one does not serve for both. So a remote slide that is read by ranges is never copied.

    Args:
      request: which slide.
      settings: how it is cut into patches.
      cache: where local copies of remote slides are kept; None where all are local.
    """
    readers = ("native", "openslide") if settings.reader == "auto" else (settings.reader,)
    for reader in readers:
        plan = _plan_by(reader, request, settings, cache)
        if plan.problem is None or plan.problem.kind != Kind.NOT_SERVED:
            break
    return plan


def _plan_by(
    reader: str, request: SlideRequest, settings: SlideSettings, cache: FileCache | None
) -> SlidePlan:
    plan = SlidePlan(request.slide_id, request.uri, block_size=settings.block_size)
    try:
        slide = open_to_plan(request.uri, reader, cache)
        plan = dataclasses.replace(
            plan,
            vendor=slide.vendor,
            width_level0=slide.dimensions[0],
            height_level0=slide.dimensions[1],
            generation=slide.generation,
        )
        if slide.vendor == GENERIC:
            check_generic_tiff(request.uri)
        plan = dataclasses.replace(
            plan,
            mpp=resolve_mpp(
                slide.properties,
                manifest_mpp=request.mpp,
                assume_mpp=settings.assume_mpp,
                allow_implausible=settings.allow_implausible_mpp,
            ),
        )
        return _plan_patches(plan, slide, request, settings, cache)
    except InputError as error:
        problem = Problem(request.slide_id, request.uri, "plan", error.kind, error.message)
        return dataclasses.replace(plan, problem=problem)


def _plan_patches(
    plan: SlidePlan,
    slide: OpenedSlide,
    request: SlideRequest,
    settings: SlideSettings,
    cache: FileCache | None,
) -> SlidePlan:
    assert plan.mpp is not None  # the caller resolved it
    slide_mpp = plan.mpp.mean
    read = plan_reading(
        slide.level_downsamples,
        slide_mpp,
        mpp=settings.mpp,
        patch_px=settings.patch_px,
        allow_upsampling=settings.allow_upsampling,
    )
    region = content_region(slide)
    scale = _thumbnail_scale(slide, region, slide_mpp)
    plan = dataclasses.replace(plan, read=read, reader=_patch_reader(slide, read, scale, settings))
    grid = lay_grid(region, read, settings.stride_px)
    if not len(grid):
        reason = (
            f"smaller than a patch: {region.width} x {region.height} level-0 pixels, "
            f"a patch has {read.size_level0:.0f}"
        )
        return dataclasses.replace(plan, empty_reason=reason)

    thumbnail = read_thumbnail(slide, region, scale)
    small = thumbnail.shrunk(TISSUE_MPP / slide_mpp)
    given = _given_tissue(small, slide, request, settings, cache)
    mask = given.coverage if given else _tissue_mask(small, settings, slide_mpp)
    fraction = _fractions(grid, read, small, mask)
    # With `none` every patch counts of which anything was scanned.
    least = settings.min_tissue if settings.tissue != "none" else 0.0
    taken = (fraction >= least) & (fraction > 0)
    chosen = in_block_order(grid.select(taken), settings.block_size)
    fraction_of = np.zeros((grid.row.max() + 1, grid.column.max() + 1), np.float32)
    fraction_of[grid.row, grid.column] = fraction
    x_level0 = chosen.x_level0.astype(np.int32)
    y_level0 = chosen.y_level0.astype(np.int32)
    return dataclasses.replace(
        plan,
        x_level0=x_level0,
        y_level0=y_level0,
        tissue=fraction_of[chosen.row, chosen.column],
        classes=given.classes(*_rectangles(chosen, read, small)) if given else None,
        empty_reason=None if len(chosen) else _why_empty(mask, given, settings),
        picture=draw_plan(
            thumbnail,
            outline(shown(mask)),
            small.scale_x / thumbnail.scale_x,
            x_level0,
            y_level0,
            read.size_level0,
        ),
    )


def _thumbnail_scale(slide: OpenedSlide, region: Region, slide_mpp: float) -> float:
    """Level-0 pixels per pixel of a thumbnail that serves both the picture and the tissue.

    A level that is there is read as it is, where the picture then has half its size at least: the
    next finer one would be sixteen times the work.
    """
    finest = max(region.width, region.height) / PICTURE_PX
    tissue = TISSUE_MPP / slide_mpp
    fitting = [d for d in slide.level_downsamples if finest <= d <= min(tissue, 2 * finest)]
    return max(fitting, default=min(tissue, finest))


def _patch_reader(
    slide: OpenedSlide, read: ReadPlan, thumbnail_scale: float, settings: SlideSettings
) -> str:
    """What reads the patches of a slide that is open.

    Raises:
      InputError: ``not_native`` where the native reader does not serve both patches and thumbnail.
    """
    if not isinstance(slide, NativeSlide):
        return "openslide"
    level = thumbnail_level(slide, thumbnail_scale)
    if refusal := slide.serves(read) or slide.serves_level(level):
        raise InputError(Kind.NOT_SERVED, refusal)
    return "native_scaled" if settings.downscale == "decoder" and lattice(read) > 1 else "native"


def _given_tissue(
    thumbnail: Thumbnail,
    slide: OpenedSlide,
    request: SlideRequest,
    settings: SlideSettings,
    cache: FileCache | None,
) -> GivenTissue | None:
    """The user's mask on the thumbnail; None where tissue is found in another way."""
    if settings.tissue not in ("mask", "mask_or_otsu"):
        return None
    if request.mask is None:
        if settings.tissue == "mask_or_otsu":
            return None
        raise InputError(
            Kind.MISSING_MASK,
            "neither the manifest nor --masks has a mask for it; "
            "--tissue mask_or_otsu finds the tissue of such slides",
        )
    region = thumbnail.region
    bounds = None
    if "openslide.bounds-x" in slide.properties:
        bounds = (region.x, region.y, region.width, region.height)
    height, width = thumbnail.scanned.shape
    place = Placement(
        (height, width),
        extent_level0=(region.width, region.height),
        origin_level0=(region.x, region.y),
        bounds=bounds,
        dimensions=slide.dimensions,
    )
    return lay_mask(request.mask, request.uri, place, classes=settings.mask_classes, cache=cache)


def _tissue_mask(
    thumbnail: Thumbnail, settings: SlideSettings, slide_mpp: float
) -> npt.NDArray[np.bool_]:
    """Where the tissue is, bool ``[h, w]`` on the thumbnail's pixels.

    What could not be read counts as tissue: its patches are then tried, and each that is really
    unreadable is reported, rather than left out in silence.
    """
    if settings.tissue == "none":
        return thumbnail.scanned
    mpp = slide_mpp * thumbnail.scale_x
    known = thumbnail.scanned & ~thumbnail.unreadable
    tissue = find_tissue(thumbnail.rgb, mpp=mpp, scanned=known).mask
    if not thumbnail.unreadable.any():
        return tissue
    # Beside what could not be seen, smoothing and the filling of holes are unsure too.
    side = 2 * round(UNSURE_UM / mpp) + 1
    unsure = cv2.dilate(thumbnail.unreadable.astype(np.uint8), np.ones((side, side), np.uint8))
    return tissue | unsure.astype(np.bool_)


def _fractions(
    grid: Grid,
    read: ReadPlan,
    thumbnail: Thumbnail,
    mask: npt.NDArray[np.bool_] | npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    return tissue_fraction(mask, *_rectangles(grid, read, thumbnail))


def _rectangles(grid: Grid, read: ReadPlan, thumbnail: Thumbnail) -> tuple[F64, F64, F64, F64]:
    """Left and top edges, widths and heights of patches, in pixels of the thumbnail."""
    n = len(grid)
    return (
        (grid.x_level0 - thumbnail.region.x) / thumbnail.scale_x,
        (grid.y_level0 - thumbnail.region.y) / thumbnail.scale_y,
        np.full(n, read.size_level0 / thumbnail.scale_x),
        np.full(n, read.size_level0 / thumbnail.scale_y),
    )


def _why_empty(
    mask: npt.NDArray[np.bool_] | npt.NDArray[np.float32],
    given: GivenTissue | None,
    settings: SlideSettings,
) -> str:
    if settings.tissue == "none":
        return "nothing was scanned: the slide is transparent everywhere"
    if given and given.empty_reason:
        return given.empty_reason
    if not mask.any():
        return "no tissue found"
    return f"no patch is {settings.min_tissue:.0%} tissue"
