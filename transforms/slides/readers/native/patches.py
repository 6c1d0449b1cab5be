"""Assemble patches from tiles: each tile is decoded once and pasted into its patches.

Memory holds one tile a thread and the patches that are not complete. As soon as its last tile is
in, a patch is scaled to its size and its memory is used again.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import threading
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.native.subpixel import Canvas, shift
from beamscope.transforms.slides.readers.native.tiff import TileLevel
from beamscope.transforms.slides.readers.pixels import resample

# Tiles that a thread reads and decodes in one go, neighbours in a row: they often follow each other
# in the file, so that a remote source can fetch them at once.
_TILES_A_TASK = 16
# Of patches that are not complete; a block of 256 has 17 rows of tiles or so, and 50 MB is usual.
_MOST_UNDER_WAY_BYTES = 100 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class PatchSet:
    """Squares of one level, all shrunk by the same whole number as tiles.

    Attributes:
      index: int64 ``[n]``, of each patch in the block.
      x: float64 ``[n]``, left edges in pixels of the shrunk level; whole where `shrink` is not 1.
      y: float64 ``[n]``, top edges, likewise.
      side: of the patches, in pixels of the shrunk level.
      shrink: pixels of the stored level per pixel of the shrunk one; divides the sides of tiles.
    """

    index: npt.NDArray[np.int64]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    side: int
    shrink: int

    def in_bands(self, tile_height: int) -> list[PatchSet]:
        """Halve the set, upper from lower, until its incomplete patches fit into memory.

        Patches side by side fit as they are; those that overlap many times may not. The tiles
        where two bands meet are decoded for each of them.

        Args:
          tile_height: of the stored level, px.
        """
        first = np.sort(np.floor(self.y)) * self.shrink // tile_height
        last = np.sort(np.floor(self.y) + self.side) * self.shrink // tile_height
        rows = np.arange(first[0], last[-1] + 1)
        begun, ended = np.searchsorted(first, rows, "right"), np.searchsorted(last, rows)
        if len(self.y) == 1 or (begun - ended).max() * 3 * self.side**2 <= _MOST_UNDER_WAY_BYTES:
            return [self]
        halves = np.array_split(np.argsort(self.y, kind="stable"), 2)
        return [
            band
            for half in halves
            for band in PatchSet(
                self.index[half], self.x[half], self.y[half], self.side, self.shrink
            ).in_bands(tile_height)
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class Tile:
    """A stored tile, and the patches that it is part of."""

    column: int
    row: int
    patches: list[_Patch]


@dataclasses.dataclass(slots=True, eq=False)
class _Patch:
    index: int
    x: float
    y: float
    left: int
    top: int
    side: int  # of what is needed: one pixel more for a patch that starts between two
    direct: bool  # nothing is left to be done with its pixels: they go straight to `out`
    partial: bool = False  # not all of it is covered by tiles
    waiting: int = 0  # tiles that are still to come
    canvas: npt.NDArray[np.uint8] | None = None
    failure: tuple[int, int, str] | None = None  # row and column of the tile, and the reason


class Assembly:
    """The patches of a set on their way from tiles to `out`; for several threads.

    Args:
      level: where the tiles come from.
      patches: which.
      out: uint8 RGB ``[block, patch_px, patch_px, 3]``, filled at the patches' indices.
      background: colour of what lies outside the level or was never scanned.

    Attributes:
      shrink: by which tiles are to be shrunk before they are pasted.
    """

    def __init__(
        self,
        level: TileLevel,
        patches: PatchSet,
        out: npt.NDArray[np.uint8],
        background: tuple[int, int, int],
    ) -> None:
        self.shrink = patches.shrink
        self._level = level
        self._out = out
        self._background = background
        self._grid = level.grid(self.shrink)
        self._side = patches.side
        self._lock = threading.Lock()
        # Fresh memory costs as much as filling it: canvases are used again.
        self._spare: dict[int, list[npt.NDArray[np.uint8]]] = collections.defaultdict(list)
        self._patches = [
            self._patch(*place)
            for place in zip(
                patches.index.tolist(), patches.x.tolist(), patches.y.tolist(), strict=True
            )
        ]
        self._tiles = self._find_tiles()

    def tasks(self) -> list[list[Tile]]:
        """Return the tiles in reading order, cut into short runs of neighbours, one a thread."""
        runs: list[list[Tile]] = []
        for tile in self._tiles:
            run = runs[-1] if runs else []
            if not run or run[0].row != tile.row or len(run) == _TILES_A_TASK:
                runs.append([tile])
            else:
                run.append(tile)
        return runs

    def paste(self, tile: Tile, pixels: npt.NDArray[np.uint8]) -> None:
        """Lay a tile, uint8 ``[h, w, 3]``, into its patches."""
        for patch in tile.patches:
            canvas = self._out[patch.index] if patch.direct else self._canvas(patch)
            self._grid.paste(pixels, tile.row, tile.column, canvas, patch.left, patch.top)
            if not patch.direct:
                self._arrived(patch)

    def fail(self, tile: Tile, message: str) -> None:
        """Note that a tile cannot be read: its patches are lost."""
        failure = tile.row, tile.column, message
        for patch in tile.patches:
            with self._lock:
                # The first tile in reading order is named, whichever thread comes first.
                patch.failure = min(failure, patch.failure or failure)
            if not patch.direct:
                self._arrived(patch)

    def problems(self) -> Iterator[tuple[int, InputError]]:
        """Yield the lost patches, by index in the block, once every tile is in."""
        for patch in self._patches:
            if patch.failure:
                row, column, message = patch.failure
                where = self._level.where(row, column)
                yield patch.index, InputError(Kind.UNREADABLE_REGION, f"{where}: {message}")

    def _patch(self, index: int, x: float, y: float) -> _Patch:
        left, top = math.floor(x), math.floor(y)
        between = left != x or top != y
        direct = not between and self._side == self._out.shape[1]
        return _Patch(index, x, y, left, top, self._side + between, direct)

    def _find_tiles(self) -> list[Tile]:
        touching: dict[tuple[int, int], list[_Patch]] = {}
        for patch in self._patches:
            square = patch.left, patch.top, patch.side, patch.side
            places = self._grid.places(*square)
            present = [place for place in places if self._grid.present[place]]
            for place in present:
                touching.setdefault(place, []).append(patch)
            patch.waiting = len(present)
            patch.partial = not self._grid.is_inside(*square) or len(present) < len(places)
            if patch.partial and (patch.direct or not present):
                self._out[patch.index] = self._background
        return [Tile(column, row, patches) for (row, column), patches in sorted(touching.items())]

    def _canvas(self, patch: _Patch) -> npt.NDArray[np.uint8]:
        with self._lock:
            if patch.canvas is None:
                spare = self._spare[patch.side]
                size = patch.side, patch.side, 3
                patch.canvas = spare.pop() if spare else np.empty(size, np.uint8)
                if patch.partial:
                    patch.canvas[:] = self._background
            return patch.canvas

    def _arrived(self, patch: _Patch) -> None:
        """Count a tile; after the last one, scale the patch to its size."""
        with self._lock:
            patch.waiting -= 1
            if patch.waiting or patch.canvas is None:
                return
            canvas, patch.canvas = patch.canvas, None
        if patch.failure is None:
            pixels = canvas if patch.side == self._side else self._shifted(patch, canvas)
            size = self._out.shape[1]
            self._out[patch.index] = resample(pixels, size, size)
        with self._lock:
            self._spare[patch.side].append(canvas)

    def _shifted(self, patch: _Patch, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        grid, square = self._grid, (patch.left, patch.top, patch.side, patch.side)
        canvas = Canvas(
            pixels,
            grid.covered(*square) if patch.partial else None,
            grid.column_seams(patch.left, patch.side),
            grid.row_seams(patch.top, patch.side),
            self._background,
        )
        return shift(canvas, patch.x - patch.left, patch.y - patch.top)[0]
