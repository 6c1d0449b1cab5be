"""By how much tiles are shrunk before they are pasted into patches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.native.jpeg import SCALES
from beamscope.transforms.slides.readers.native.tiff import TileLevel


def lattice(read: ReadPlan) -> int:
    """Return the grid of level pixels on which a patch must start for the decoder to shrink it.

    Returns:
      2, 4 or 8: both edges must be multiples of it, in pixels of the level that is read; 1 where
      patches are not an eighth, quarter or half of what is read.
    """
    times, rest = divmod(read.read_px, read.patch_px)
    if rest:
        return 1
    return next((scale for scale in SCALES if times % scale == 0), 1)


def shrinks(
    level: TileLevel, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], read: ReadPlan
) -> npt.NDArray[np.int64]:
    """Return by how much each patch's tiles may be shrunk before they are pasted: int64 ``[n]``.

    Each patch by itself, so that it is the same in whichever block it lies.
    """
    scale = lattice(read)
    if scale == 1 or level.tile_width % scale or level.tile_height % scale:
        return np.ones(len(x), np.int64)
    inside = (x >= 0) & (y >= 0)
    inside &= (x + read.read_px <= level.width) & (y + read.read_px <= level.height)
    return np.where(inside & (x % scale == 0) & (y % scale == 0), scale, 1)
