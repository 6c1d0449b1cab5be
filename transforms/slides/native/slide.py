"""Reading the patches of tiled JPEG slides from their tiles, without OpenSlide.

A patch is the same as through OpenSlide; a block costs the decoding of its tiles, each once, and
little more. What is not provably the same is refused, for OpenSlide to read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from transforms.problems import InputError, one_line
from transforms.slides.native.jpeg import SCALES, TileError
from transforms.slides.native.patches import Assembly, PatchSet, Tile
from transforms.slides.native.source import ByteSource
from transforms.slides.native.tiff import MAX_TILE_BYTES, TileLevel, read_levels
from transforms.slides.reader import resample
from transforms.slides.resolution import ReadPlan


class NativeSlide:
    """An open slide, for use by several threads.

    Attributes:
      vendor: as OpenSlide names it: ``aperio``, ``philips`` or ``generic-tiff``.
      level_dimensions: width and height of each level, px, as OpenSlide has them.
      level_downsamples: of each level, likewise.
    """

    def __init__(
        self,
        source: ByteSource,
        vendor: str,
        levels: list[TileLevel],
        background: tuple[int, int, int],
    ) -> None:
        self.vendor = vendor
        self.level_dimensions = tuple((level.width, level.height) for level in levels)
        self.level_downsamples = tuple(level.downsample for level in levels)
        self._source = source
        self._levels = levels
        self._background = background

    def serves(self, read: ReadPlan) -> str | None:
        """Why patches cannot be read natively under a plan; None where they can."""
        if not 0 <= read.level < len(self._levels):
            return f"no level {read.level}"
        level = self._levels[read.level]
        if not math.isclose(level.downsample, read.downsample, rel_tol=1e-9):
            return (
                f"level {read.level} has downsample {level.downsample:g}, not {read.downsample:g}"
            )
        return level.not_served and f"level {read.level}: {level.not_served}"

    def read_patches(
        self,
        x_level0: npt.NDArray[np.integer],
        y_level0: npt.NDArray[np.integer],
        read: ReadPlan,
        out: npt.NDArray[np.uint8],
        threads: Executor,
        *,
        scaled: bool = True,
    ) -> list[InputError | None]:
        """Reads patches, decoding each tile that they touch once.

        Args:
          x_level0: integers ``[n]``, left edges in level-0 pixels.
          y_level0: integers ``[n]``, top edges in level-0 pixels.
          read: how patches are read; one that is served.
          out: uint8 RGB ``[n, patch_px, patch_px, 3]``, filled but for the patches that fail.
          threads: where tiles are read and decoded side by side; this call must not be one of its
            own, because it waits for them.
          scaled: have the decoder shrink the patches that `lattice` allows; they then differ from
            area averaging by less than a grey level in the mean.

        Returns:
          for each patch None, or an ``unreadable_region``.
        """
        if reason := self.serves(read):
            raise ValueError(f"read_patches: {reason}")
        level = self._levels[read.level]
        x, y = (np.asarray(edges, np.float64) / level.downsample for edges in (x_level0, y_level0))
        shrinks = _shrinks(level, x, y, read)
        problems: list[InputError | None] = [None] * len(x)
        for shrink in np.unique(shrinks).tolist():
            index = np.flatnonzero(shrinks == shrink)
            side = read.read_px // shrink
            patches = PatchSet(index, x[index] / shrink, y[index] / shrink, side, shrink)
            for band in patches.in_bands(level.tile_height):
                for patch, error in self._read(level, band, out, threads, scaled):
                    problems[patch] = error
        return problems

    def first_tile_failure(self) -> str | None:
        """Why the first tile of level 0 cannot be decoded; None where it can.

        A peculiarity of an encoder that OpenSlide overlooks is in all of its tiles.
        """
        level = self._levels[0]
        present = np.argwhere(level.lengths)
        if not len(present):
            return None
        row, column = present[0].tolist()
        (data,) = self._fetch(level, [Tile(column, row, [])])
        pixels = np.empty((level.tile_height, level.tile_width, 3), np.uint8)
        failure = _decode_tile(level, data, 1, pixels)
        return failure and f"tile ({column}, {row}) of level 0: {failure}"

    def close(self) -> None:
        """Lets the file go; reading from it is over."""
        self._source.close()

    def _read(
        self,
        level: TileLevel,
        patches: PatchSet,
        out: npt.NDArray[np.uint8],
        threads: Executor,
        scaled: bool,
    ) -> Iterator[tuple[int, InputError]]:
        """Fills in the patches of a set, and yields those that are lost."""
        assembly = Assembly(level, patches, out, self._background)
        tasks = [
            threads.submit(self._decode, level, assembly, run, scaled) for run in assembly.tasks()
        ]
        for task in tasks:
            task.result()
        yield from assembly.problems()

    def _decode(
        self, level: TileLevel, assembly: Assembly, run: Sequence[Tile], scaled: bool
    ) -> None:
        """Fetches and decodes tiles, and pastes them.

        Averaging the tile instead of the patch is the same, because `shrink` divides the tile and
        the patch's edges, and costs half: the pixels are at hand, and fewer are pasted.
        """
        shrink = assembly.shrink
        scale = shrink if scaled else 1
        height, width = level.tile_height, level.tile_width
        pixels = np.empty((height // scale, width // scale, 3), np.uint8)
        for tile, data in zip(run, self._fetch(level, run), strict=True):
            failure = _decode_tile(level, data, scale, pixels)
            if failure is None:
                assembly.paste(tile, resample(pixels, width // shrink, height // shrink))
            else:
                assembly.fail(tile, failure)

    def _fetch(self, level: TileLevel, run: Sequence[Tile]) -> list[bytes | TileError]:
        """The bytes of tiles, or why they cannot be had."""
        ranges = [
            (int(level.offsets[tile.row, tile.column]), int(level.lengths[tile.row, tile.column]))
            for tile in run
        ]
        fine = [
            length <= MAX_TILE_BYTES and offset + length <= self._source.size
            for offset, length in ranges
        ]
        wanted = [pair for pair, ok in zip(ranges, fine, strict=True) if ok]
        try:
            found: list[bytes | TileError] = list(self._source.read_many(wanted))
        except InputError:
            # One of them is to blame: the others need not be lost with it.
            found = [self._fetch_one(*pair) for pair in wanted]
        queue = iter(found)
        outside = TileError("lies beyond the end of the file")
        return [next(queue) if ok else outside for ok in fine]

    def _fetch_one(self, offset: int, length: int) -> bytes | TileError:
        try:
            return self._source.read(offset, length)
        except InputError as error:
            return TileError(error.message)


def _decode_tile(
    level: TileLevel, data: bytes | TileError, scale: int, pixels: npt.NDArray[np.uint8]
) -> str | None:
    """Decodes a tile into `pixels`, or says why it cannot be."""
    try:
        if isinstance(data, TileError):
            raise data
        level.decoder.decode(data, scale, pixels)
    except TileError as error:
        return one_line(error)
    return None


def open_native(
    source: ByteSource,
    *,
    background: tuple[int, int, int] = (255, 255, 255),
    level_dimensions: Sequence[tuple[int, int]] | None = None,
) -> NativeSlide:
    """Opens a slide whose tiles can be decoded natively.

    Args:
      source: the file; the slide closes it with itself.
      background: colour of what lies outside the slide or was never scanned.
      level_dimensions: as OpenSlide has them, where that is known: to be on the safe side.

    Raises:
      InputError: ``not_native``, with the reason, when OpenSlide must read the slide.
    """
    vendor, levels = read_levels(source)
    slide = NativeSlide(source, vendor, levels, background)
    if level_dimensions is not None and slide.level_dimensions != tuple(level_dimensions):
        raise InputError(
            "not_native",
            f"levels {list(slide.level_dimensions)}, in OpenSlide {list(level_dimensions)}",
        )
    if levels[0].not_served:
        raise InputError("not_native", f"level 0: {levels[0].not_served}")
    if failure := slide.first_tile_failure():
        raise InputError("not_native", failure)
    return slide


def lattice(read: ReadPlan) -> int:
    """The grid of level pixels on which a patch must start for the decoder to shrink it.

    Returns:
      2, 4 or 8: both edges must be multiples of it, in pixels of the level that is read; 1 where
      patches are not an eighth, quarter or half of what is read.
    """
    times, rest = divmod(read.read_px, read.patch_px)
    if rest:
        return 1
    return next((scale for scale in SCALES if times % scale == 0), 1)


def _shrinks(
    level: TileLevel, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], read: ReadPlan
) -> npt.NDArray[np.int64]:
    """By how much each patch's tiles may be shrunk before it is put together: int64 ``[n]``.

    Each patch by itself, so that it is the same in whichever block it lies.
    """
    scale = lattice(read)
    if scale == 1 or level.tile_width % scale or level.tile_height % scale:
        return np.ones(len(x), np.int64)
    inside = (x >= 0) & (y >= 0)
    inside &= (x + read.read_px <= level.width) & (y + read.read_px <= level.height)
    return np.where(inside & (x % scale == 0) & (y % scale == 0), scale, 1)
