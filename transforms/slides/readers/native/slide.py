"""Reading the patches of tiled JPEG slides from their tiles, without OpenSlide.

A patch is the same as through OpenSlide; a block costs the decoding of its tiles, each once, and
little more. What is not provably the same is refused, for OpenSlide to read.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.resolution import ReadPlan
from beamscope.transforms.slides.readers.native.area import read_area
from beamscope.transforms.slides.readers.native.jpeg import SCALES
from beamscope.transforms.slides.readers.native.patches import Assembly, PatchSet, Tile
from beamscope.transforms.slides.readers.native.tiff import TileLevel, read_levels
from beamscope.transforms.slides.readers.native.tiles import TileBytes, decode_tile, request_tiles
from beamscope.transforms.slides.readers.openslide_reader import background_color, resample
from beamscope.transforms.storage.byte_source import ByteSource

# Of compressed tiles, asked for at a time; two such windows are in memory. A block is one, or two.
_WINDOW_BYTES = 16 << 20


class NativeSlide:
    """An open slide, for use by several threads; an `OpenedSlide`.

    Attributes:
      vendor: as OpenSlide names it: ``aperio``, ``philips`` or ``generic-tiff``.
      properties: by OpenSlide's names; vendor, resolution and objective power alone.
      dimensions: width and height of level 0, px.
      level_dimensions: width and height of each level, px, as OpenSlide has them.
      level_downsamples: of each level, likewise.
      background: RGB of what lies outside the slide or was never scanned.
      generation: of a remote slide; None for a local one.
    """

    def __init__(
        self,
        source: ByteSource,
        properties: dict[str, str],
        levels: list[TileLevel],
    ) -> None:
        self.properties = properties
        self.vendor = properties["openslide.vendor"]
        self.level_dimensions = tuple((level.width, level.height) for level in levels)
        self.level_downsamples = tuple(level.downsample for level in levels)
        self.dimensions = self.level_dimensions[0]
        self.background = background_color(properties)
        self.generation = source.generation
        self._source = source
        self._levels = levels

    def serves(self, read: ReadPlan) -> str | None:
        """Why patches cannot be read natively under a plan; None where they can."""
        if not 0 <= read.level < len(self._levels):
            return f"no level {read.level}"
        level = self._levels[read.level]
        if not math.isclose(level.downsample, read.downsample, rel_tol=1e-9):
            return (
                f"level {read.level} has downsample {level.downsample:g}, not {read.downsample:g}"
            )
        return self.serves_level(read.level)

    def serves_level(self, number: int) -> str | None:
        """Why a level cannot be read natively; None where it can."""
        reason = self._levels[number].not_served
        return reason and f"level {number}: {reason}"

    def read_area(
        self, x_level0: int, y_level0: int, level: int, width: int, height: int
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
        """As `OpenedSlide.read_area`.

        Raises:
          InputError: ``unreadable_region``; ``not_native`` where the level is not served.
        """
        if reason := self.serves_level(level):
            raise InputError(Kind.NOT_SERVED, reason)
        stored = self._levels[level]
        x, y = x_level0 / stored.downsample, y_level0 / stored.downsample
        return read_area(self._source, stored, x, y, (width, height), self.background)

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
            area averaging by half a grey level in the mean, by two to three on sharp slides.

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
        (data,) = request_tiles(self._source, level, [(row, column)])
        pixels = np.empty((level.tile_height, level.tile_width, 3), np.uint8)
        failure = decode_tile(level, data, 1, pixels)
        return failure and f"{level.where(row, column)}: {failure}"

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
        assembly = Assembly(level, patches, out, self.background)
        under_way: collections.deque[list[Future[None]]] = collections.deque()
        for runs in _windows(level, assembly.tasks()):
            # While the window before is being decoded.
            places = [(tile.row, tile.column) for run in runs for tile in run]
            requested = iter(request_tiles(self._source, level, places))
            under_way.append(
                [
                    threads.submit(
                        self._decode,
                        level,
                        assembly,
                        list(zip(run, itertools.islice(requested, len(run)), strict=True)),
                        scaled,
                    )
                    for run in runs
                ]
            )
            if len(under_way) > 1:
                _wait_for(under_way.popleft())
        for tasks in under_way:
            _wait_for(tasks)
        yield from assembly.problems()

    def _decode(
        self,
        level: TileLevel,
        assembly: Assembly,
        run: Sequence[tuple[Tile, TileBytes]],
        scaled: bool,
    ) -> None:
        """Decodes tiles, and pastes them.

        Averaging the tile instead of the patch is the same, because `shrink` divides the tile and
        the patch's edges, and costs half: the pixels are at hand, and fewer are pasted.
        """
        shrink = assembly.shrink
        scale = shrink if scaled else 1
        height, width = level.tile_height, level.tile_width
        pixels = np.empty((height // scale, width // scale, 3), np.uint8)
        for tile, data in run:
            failure = decode_tile(level, data, scale, pixels)
            if failure is None:
                assembly.paste(tile, resample(pixels, width // shrink, height // shrink))
            else:
                assembly.fail(tile, failure)


def _windows(level: TileLevel, runs: Sequence[list[Tile]]) -> Iterator[list[list[Tile]]]:
    """Cuts runs of tiles, in their order, into pieces of at most `_WINDOW_BYTES` of tiles."""
    window: list[list[Tile]] = []
    size = 0
    for run in runs:
        length = sum(int(level.lengths[tile.row, tile.column]) for tile in run)
        if window and size + length > _WINDOW_BYTES:
            yield window
            window, size = [], 0
        window.append(run)
        size += length
    if window:
        yield window


def _wait_for(tasks: Sequence[Future[None]]) -> None:
    for task in tasks:
        task.result()


def open_native(source: ByteSource) -> NativeSlide:
    """Opens a slide whose tiles can be decoded natively.

    Args:
      source: the file; the slide closes it with itself.

    Raises:
      InputError: ``not_native``, with the reason, when OpenSlide must read the slide.
    """
    properties, levels = read_levels(source)
    slide = NativeSlide(source, properties, levels)
    if levels[0].not_served:
        raise InputError(Kind.NOT_SERVED, f"level 0: {levels[0].not_served}")
    if failure := slide.first_tile_failure():
        raise InputError(Kind.NOT_SERVED, failure)
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
