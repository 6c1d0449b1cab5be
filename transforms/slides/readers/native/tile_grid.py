"""The grid of a level's tiles: the tiles of a rectangle, and its stored pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, eq=False)
class TileGrid:
    """The tiles of a level, or of one that is shrunk by a divisor of their sides.

    Attributes:
      width: of the level, px.
      height: of the level, px.
      tile_width: px.
      tile_height: px.
      present: bool ``[tiles_down, tiles_across]``, False for a tile that is missing.
    """

    width: int
    height: int
    tile_width: int
    tile_height: int
    present: npt.NDArray[np.bool_]

    def places(self, left: int, top: int, width: int, height: int) -> list[tuple[int, int]]:
        """(row, column) of every tile, there or missing, that a rectangle lies in."""
        columns = _tiles(left, width, self.tile_width, self.width)
        rows = _tiles(top, height, self.tile_height, self.height)
        return [(row, column) for row in rows for column in columns]

    def is_inside(self, left: int, top: int, width: int, height: int) -> bool:
        """Return whether a rectangle lies wholly in the level."""
        across = 0 <= left <= self.width - width
        return across and 0 <= top <= self.height - height

    def covered(self, left: int, top: int, width: int, height: int) -> npt.NDArray[np.bool_]:
        """Return where a rectangle has stored pixels, bool ``[height, width]``."""
        x, y = left + np.arange(width), top + np.arange(height)
        x_inside, y_inside = (x >= 0) & (x < self.width), (y >= 0) & (y < self.height)
        down, across = self.present.shape
        column = np.clip(x // self.tile_width, 0, across - 1)
        row = np.clip(y // self.tile_height, 0, down - 1)
        present: npt.NDArray[np.bool_] = self.present[np.ix_(row, column)]
        return present & x_inside & y_inside[:, None]

    def paste(
        self,
        pixels: npt.NDArray[np.uint8],
        row: int,
        column: int,
        canvas: npt.NDArray[np.uint8],
        left: int,
        top: int,
    ) -> None:
        """Lay a tile into the rectangle that starts at (left, top), as far as it reaches.

        Args:
          pixels: of the tile, uint8 ``[tile_height, tile_width, 3]``.
          row: of the tile.
          column: of the tile.
          canvas: pixels of the rectangle, uint8 ``[h, w, 3]``.
          left: of the rectangle, px.
          top: of the rectangle, px.
        """
        tile_left, tile_top = column * self.tile_width, row * self.tile_height
        height, width = canvas.shape[:2]
        x0, y0 = max(left, tile_left), max(top, tile_top)
        x1 = min(left + width, tile_left + self.tile_width, self.width)
        y1 = min(top + height, tile_top + self.tile_height, self.height)
        canvas[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[
            y0 - tile_top : y1 - tile_top, x0 - tile_left : x1 - tile_left
        ]

    def column_seams(self, left: int, width: int) -> list[int]:
        """Return the last column of each tile among `width` from `left` on, counted from `left`."""
        return _seams(left, width, self.tile_width)

    def row_seams(self, top: int, height: int) -> list[int]:
        """Return the last row of each tile among `height` from `top` on, counted from `top`."""
        return _seams(top, height, self.tile_height)


def _tiles(start: int, length: int, tile: int, end: int) -> range:
    """Return the tiles under `length` pixels from `start` on, of a level that ends at `end`."""
    first, last = max(start, 0), min(start + length, end) - 1
    return range(first // tile, last // tile + 1) if first <= last else range(0)


def _seams(start: int, length: int, tile: int) -> list[int]:
    return list(range(-(start + 1) % tile, length - 1, tile))
