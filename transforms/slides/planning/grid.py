"""The grid of patches over a slide, and how it is cut into blocks of neighbours."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.planning.limits import check_places
from beamscope.transforms.slides.readers.geometry import ReadPlan, Region


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Top left corners of patches, row by row from the top, each row from the left.

    Attributes:
      x_level0: int64 ``[n]``, level-0 pixels.
      y_level0: int64 ``[n]``, level-0 pixels.
      column: int64 ``[n]``, place in the grid.
      row: int64 ``[n]``, place in the grid.
    """

    x_level0: npt.NDArray[np.int64]
    y_level0: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x_level0)

    def select(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Grid:
        """Return the patches of a mask, or of indices in their order."""
        return Grid(self.x_level0[index], self.y_level0[index], self.column[index], self.row[index])


def lay_grid(region: Region, read: ReadPlan, stride_px: int) -> Grid:
    """Lay out every patch that fits wholly into a region, from its top left corner on.

    Args:
      region: where the slide has content.
      read: how patches are read; gives their side in level-0 pixels.
      stride_px: from patch to patch, in pixels of the patch (so `patch_px` means side by side).

    Returns:
      the grid; empty where the region is smaller than a patch.

    Raises:
      InputError: ``slide_too_large`` for more places than a plan has room for.
    """
    # In whole pixels of the level that is read, so that neighbours neither gap nor overlap.
    stride_level = max(1, round(stride_px * read.read_px / read.patch_px))
    step = stride_level * read.downsample
    columns = _count(region.width, read.size_level0, step)
    rows = _count(region.height, read.size_level0, step)
    check_places(columns, rows)
    row, column = np.divmod(np.arange(columns * rows, dtype=np.int64), max(columns, 1))
    return Grid(
        region.x + np.rint(column * step).astype(np.int64),
        region.y + np.rint(row * step).astype(np.int64),
        column,
        row,
    )


def _count(extent: int, size: float, step: float) -> int:
    # Half a pixel of grace: a level's downsample is the ratio of two rounded extents.
    return max(0, math.floor((extent - size + 0.5) / step) + 1)


def in_block_order(grid: Grid, block_size: int) -> Grid:
    """Sort patches so that every run of `block_size` of them is a compact piece of the slide.

    The grid is divided into square cells of about `block_size` places. Cells follow each other row
    by row, in turn from the left and from the right; within a cell patches go row by row.
    """
    side = max(1, round(math.sqrt(block_size)))
    cell_row, cell_column = grid.row // side, grid.column // side
    direction = np.where(cell_row % 2 == 0, 1, -1)
    return grid.select(np.lexsort((grid.column, grid.row, direction * cell_column, cell_row)))


def block_slices(patches: int, block_size: int) -> list[slice]:
    """Cut that many patches into blocks, as slices; all but the last are full."""
    return [slice(i, min(i + block_size, patches)) for i in range(0, patches, block_size)]
