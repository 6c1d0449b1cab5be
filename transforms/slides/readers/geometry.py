"""Places on a slide: its levels, a rectangle of it, and the square that a patch is read from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

# Rounding, floors and ceilings of repeated halving add up to less than a pixel of the level on each
# side; some writers also make sizes even.
ROUNDING_PX = 2


@dataclasses.dataclass(frozen=True)
class Level:
    """A level of a slide's pyramid.

    Attributes:
      number: its place among the levels of the file, as OpenSlide counts them.
      width: px.
      height: px.
      downsample: level-0 pixels per pixel of this level.
    """

    number: int
    width: int
    height: int
    downsample: float


@dataclasses.dataclass(frozen=True)
class Region:
    """A rectangle of a slide in level-0 pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class ReadPlan:
    """The way to read every patch of one slide: a square of one level, scaled to the patch size.

    Attributes:
      level: number of the pyramid level that is read.
      downsample: of that level: level-0 pixels per level pixel.
      read_px: side of the square that is read, in pixels of that level.
      patch_px: side of the patch that the model sees.
      mpp_requested: the resolution that was asked for, µm/px.
      mpp_level: resolution of the level, µm/px.
      downscale: ``area`` to average the pixels of the square; ``decoder`` to let the reader's
        decoder shrink them where it can.
    """

    level: int
    downsample: float
    read_px: int
    patch_px: int
    mpp_requested: float
    mpp_level: float
    downscale: str = "area"

    @property
    def mpp_effective(self) -> float:
        """Resolution of the patches, µm/px: the request, but for rounding to whole pixels."""
        return self.mpp_level * self.read_px / self.patch_px

    @property
    def size_level0(self) -> float:
        """Side of a patch in level-0 pixels."""
        return self.read_px * self.downsample


def true_levels(levels: Iterable[Level], *, by_shape: bool = True) -> tuple[Level, ...]:
    """Return the levels that show the slide, by their sizes.

    A file may hold other images among its levels. An image of another shape than level 0 is a label
    or a macro. Of several images of one size the first is the level; the others are focal planes
    or a transparency mask.

    Args:
      levels: of a file, level 0 first.
      by_shape: whether an image of another shape is none. Where the vendor's own data says which
        images are levels, it is False.

    Returns:
      the levels, in the same order; level 0 is always one.
    """
    kept: list[Level] = []
    for level in levels:
        same_size = any((level.width, level.height) == (k.width, k.height) for k in kept)
        if not kept or (not same_size and (not by_shape or _is_shaped_like(kept[0], level))):
            kept.append(level)
    return tuple(kept)


def _is_shaped_like(full: Level, level: Level) -> bool:
    """Return whether one downsample gives both sides of a level, to within rounding."""
    ranges = [
        ((side - ROUNDING_PX) / full_side, (side + ROUNDING_PX) / full_side)
        for side, full_side in ((level.width, full.width), (level.height, full.height))
    ]
    return max(low for low, _ in ranges) <= min(high for _, high in ranges)
