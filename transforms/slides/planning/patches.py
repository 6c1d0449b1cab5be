"""Choose the patches of a grid: those with enough tissue, and of the quality that is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.planning.grid import Grid, in_block_order
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.slides.tissue.detection import tissue_fraction
from beamscope.transforms.slides.tissue.quality import (
    DEFAULT_THRESHOLDS,
    REASONS,
    measure_quality,
)
from beamscope.transforms.slides.tissue.thumbnail import Thumbnail

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# The step of the funnel for patches that have no tissue at all, by how tissue is found.
_OUTSIDE = {"none": "not_scanned", "mask": "outside_mask"}


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """The patches that are taken.

    Attributes:
      grid: the patches, in the order of blocks.
      tissue: the fraction of each that is tissue, float32 ``[n]``.
      funnel: where the candidates went, in this order: ``candidates`` in the grid; not taken for
        being ``outside_tissue`` (``outside_mask``, ``not_scanned``), ``below_min_tissue``, or for a
        reason of quality; ``taken``.
      poor: of the patches with enough tissue, how many are white, black, grey, blurred or under
        ink, whether or not they are left out for it; one may be several of these. Empty if that
        was not measured.
    """

    grid: Grid
    tissue: F32
    funnel: Mapping[str, int]
    poor: Mapping[str, int]


def choose_patches(
    grid: Grid,
    read: ReadPlan,
    thumbnail: Thumbnail,
    mask: npt.NDArray[np.bool_] | F32,
    settings: SlideSettings,
    *,
    by_mask: bool = False,
    measure: bool = True,
) -> Choice:
    """Choose patches, and count where the others went.

    Args:
      grid: every patch that fits on the slide.
      read: how patches are read.
      thumbnail: of the slide.
      mask: its tissue on the thumbnail's pixels, bool, or float32 for parts of pixels.
      settings: what a patch must have.
      by_mask: whether the mask is the user's.
      measure: whether to count patches of poor quality even if none is left out for it. That takes
        a quarter of the time that planning a large slide takes.
    """
    fraction = tissue_fraction(mask, *rectangles(grid, read, thumbnail))
    # With `none` every patch counts of which anything was scanned.
    least = settings.min_tissue if settings.tissue != "none" else 0.0
    inside = fraction > 0
    taken = (fraction >= least) & inside
    outside = _OUTSIDE.get(settings.tissue, "") if by_mask or settings.tissue == "none" else ""
    funnel = {
        "candidates": len(grid),
        outside or "outside_tissue": int(np.count_nonzero(~inside)),
        "below_min_tissue": int(np.count_nonzero(inside & ~taken)),
    }
    poor: dict[str, int] = {}
    if measure or settings.drop:
        where = rectangles(grid.select(taken), read, thumbnail)
        quality = measure_quality(thumbnail.rgb, *where)
        asked = dict(settings.drop)
        kept = np.ones(len(where[0]), np.bool_)
        for reason in REASONS:
            found = quality.is_poor(reason, asked.get(reason, DEFAULT_THRESHOLDS[reason]))
            poor[reason] = int(np.count_nonzero(found))
            if reason in asked:
                funnel[reason] = int(np.count_nonzero(found & kept))
                kept &= ~found
        taken[taken] = kept
    funnel["taken"] = int(np.count_nonzero(taken))
    chosen = in_block_order(grid.select(taken), settings.block_size)
    fraction_of = np.zeros((grid.row.max() + 1, grid.column.max() + 1), np.float32)
    fraction_of[grid.row, grid.column] = fraction
    return Choice(chosen, fraction_of[chosen.row, chosen.column], funnel, poor)


def rectangles(grid: Grid, read: ReadPlan, thumbnail: Thumbnail) -> tuple[F64, F64, F64, F64]:
    """Return left and top edges, widths and heights of patches, in pixels of the thumbnail."""
    n = len(grid)
    return (
        (grid.x_level0 - thumbnail.region.x) / thumbnail.scale_x,
        (grid.y_level0 - thumbnail.region.y) / thumbnail.scale_y,
        np.full(n, read.size_level0 / thumbnail.scale_x),
        np.full(n, read.size_level0 / thumbnail.scale_y),
    )
