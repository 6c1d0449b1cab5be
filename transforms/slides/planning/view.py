"""Choose the levels that a slide is read by, and see its thumbnail."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from beamscope.transforms.slides.picture import PICTURE_PX
from beamscope.transforms.slides.planning.grid import Grid, lay_grid
from beamscope.transforms.slides.planning.level_check import agrees
from beamscope.transforms.slides.planning.limits import (
    MAX_PLACES,
    MAX_THUMBNAIL_PIXELS,
    check_read,
    check_seen,
)
from beamscope.transforms.slides.planning.resolution import plan_reading
from beamscope.transforms.slides.readers.base import NotServed, SlideReader
from beamscope.transforms.slides.readers.geometry import Level, ReadPlan, Region
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.tissue.thumbnail import (
    Thumbnail,
    content_region,
    read_thumbnail,
    thumbnail_level,
)

# Coarse enough to be quick, fine enough for the outline of a needle biopsy.
TISSUE_MPP = 8.0

# Of a level, in one pixel of the thumbnail.
MOST_SHRUNK = 1024

# What planning takes at most, measured: masks, labels and sums of the thumbnail, and the grid.
BYTES_A_THUMBNAIL_PIXEL = 60

BYTES_A_PLACE = 200


@dataclasses.dataclass(frozen=True, eq=False)
class View:
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


def choose_view(slide: SlideReader, slide_mpp: float, settings: SlideSettings) -> View | NotServed:
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
            return View(read, region, grid, None)
        check_seen(region, seen)
        thumbnail = read_thumbnail(slide, seen, region, scale)
        false = None
        if not slide.knows_levels:
            false = _false_level(slide, levels, read, seen, thumbnail)
        if false is None:
            return View(read, region, grid, thumbnail)
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


def memory_of_plan(slide: SlideReader, slide_mpp: float, settings: SlideSettings) -> int:
    """Estimate the bytes that a plan takes, from its thumbnail and its grid."""
    region = content_region(slide)
    area = max(region.width, 1) * max(region.height, 1)
    thumbnail = area / _thumbnail_scale(slide.levels, region, slide_mpp) ** 2
    places = min(area / (settings.stride_px * settings.mpp / slide_mpp) ** 2, MAX_PLACES)
    return round(thumbnail * BYTES_A_THUMBNAIL_PIXEL + places * BYTES_A_PLACE)
