"""Read patches of a level: each tile that they touch is asked for and decoded once."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future

import numpy as np
import numpy.typing as npt

from beamscope.transforms.memory import DECODING
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.native.patches import Assembly, PatchSet, Tile
from beamscope.transforms.slides.readers.native.shrinking import shrinks
from beamscope.transforms.slides.readers.native.tiff import TileLevel
from beamscope.transforms.slides.readers.native.tiles import TileBytes, decode_tile, request_tiles
from beamscope.transforms.slides.readers.pixels import resample
from beamscope.transforms.storage.byte_source import ByteSource

# Of compressed tiles, asked for at a time; two such windows are in memory. A block is one, or two.
_WINDOW_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class PatchReading:
    """How the patches of a level are read.

    Attributes:
      source: of the slide's bytes.
      level: as it is stored.
      background: RGB, under what was not scanned.
      threads: that decode.
    """

    source: ByteSource
    level: TileLevel
    background: tuple[int, int, int]
    threads: Executor

    def read(
        self,
        x: npt.NDArray[np.float64],
        y: npt.NDArray[np.float64],
        read: ReadPlan,
        out: npt.NDArray[np.uint8],
    ) -> list[InputError | None]:
        """Read patches; under ``decoder`` those that `lattice` allows are shrunk by the decoder.

        Args:
          x: float64 ``[n]``, left edges in pixels of the level.
          y: float64 ``[n]``, top edges, likewise.
          read: the plan of reading.
          out: uint8 ``[n, patch_px, patch_px, 3]``, is filled in.

        Returns:
          for each patch None, or why it is lost.
        """
        problems: list[InputError | None] = [None] * len(x)
        shrunk = shrinks(self.level, x, y, read)
        for shrink in np.unique(shrunk).tolist():
            index = np.flatnonzero(shrunk == shrink)
            side = read.read_px // shrink
            patches = PatchSet(index, x[index] / shrink, y[index] / shrink, side, shrink)
            for band in patches.in_bands(self.level.tile_height):
                scaled = read.downscale == "decoder"
                for patch, error in self._read(band, out, scaled):
                    problems[patch] = error
        return problems

    def _read(
        self,
        patches: PatchSet,
        out: npt.NDArray[np.uint8],
        scaled: bool,
    ) -> Iterator[tuple[int, InputError]]:
        """Fill in the patches of a set, and yield those that are lost."""
        assembly = Assembly(self.level, patches, out, self.background)
        under_way: collections.deque[list[Future[None]]] = collections.deque()
        for runs in _windows(self.level, assembly.tasks()):
            # While the window before is being decoded.
            places = [(tile.row, tile.column) for run in runs for tile in run]
            requested = iter(request_tiles(self.source, self.level, places))
            under_way.append(
                [
                    self.threads.submit(
                        self._decode,
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
        assembly: Assembly,
        run: Sequence[tuple[Tile, TileBytes]],
        scaled: bool,
    ) -> None:
        """Decode tiles, and paste them.

        Averaging the tile instead of the patch is the same, because `shrink` divides the tile and
        the patch's edges, and costs half: the pixels are at hand, and fewer are pasted.
        """
        level, shrink = self.level, assembly.shrink
        scale = shrink if scaled else 1
        height, width = level.tile_height, level.tile_width
        with DECODING.hold(level.decoder.bytes_a_pixel * height * width):
            pixels = np.empty((height // scale, width // scale, 3), np.uint8)
            for tile, data in run:
                failure = decode_tile(level, data, scale, pixels)
                if failure is None:
                    assembly.paste(tile, resample(pixels, width // shrink, height // shrink))
                else:
                    assembly.fail(tile, failure)


def _windows(level: TileLevel, runs: Sequence[list[Tile]]) -> Iterator[list[list[Tile]]]:
    """Cut runs of tiles, in their order, into pieces of at most `_WINDOW_BYTES` of tiles."""
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
