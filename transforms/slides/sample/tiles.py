"""The tiles of a sample slide. Lower levels are averaged while level 0 is drawn."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt

from beamscope.transforms import jpeg_markers

U8 = npt.NDArray[np.uint8]

# Numbers of TIFF's Compression tag; 33005 is Aperio's JPEG 2000 of RGB.
TIFF_COMPRESSION = {"jpeg": 7, "jpeg2000": 33005}
TILES_AHEAD = 4  # a thread: enough to keep all busy while one tile is written


class TileEncoder:
    """Compress RGB tiles, and keep the TIFF tags that go with them.

    Args:
      compression: a key of `TIFF_COMPRESSION`.
      quality: 1 to 100 for JPEG; decibels for JPEG 2000.
      tile_size: px.
    """

    def __init__(self, compression: str, quality: int, tile_size: int) -> None:
        self._compression = compression
        self._quality = quality
        self.tags: dict[str, object] = {"compression": TIFF_COMPRESSION[compression]}
        if compression == "jpeg":
            blank = np.zeros((tile_size, tile_size, 3), np.uint8)
            self.tags |= {"subsampling": (2, 2), "jpegtables": split_tables(self._jpeg(blank))[0]}

    def __call__(self, tile: U8) -> bytes:
        """Return the encoded tile. Of a JPEG the tables are in the tags, not in the tile."""
        if self._compression == "jpeg":
            return split_tables(self._jpeg(tile))[1]
        return bytes(
            imagecodecs.jpeg2k_encode(tile, self._quality, codecformat="j2k", numthreads=1)
        )

    def _jpeg(self, tile: U8) -> bytes:
        # Chroma halved in both directions, as scanners do.
        return bytes(
            imagecodecs.jpeg8_encode(
                tile, self._quality, colorspace="RGB", outcolorspace="YCBCR", subsampling=(2, 2)
            )
        )


def split_tables(jpeg: bytes) -> tuple[bytes, bytes]:
    """Split a JPEG into its tables and an abbreviated image, as TIFF's JPEGTables tag wants.

    Both are streams of their own (ITU T.81, B.4 and B.5). The tables are the same for all images of
    one quality, because the encoder keeps to the standard Huffman tables.
    """
    tables, image = [jpeg_markers.SOI], [jpeg_markers.SOI]
    for segment in jpeg_markers.segments(jpeg):
        if segment.marker == jpeg_markers.SCAN:
            image.append(jpeg[segment.start :])  # the rest is the image
        elif segment.marker in (jpeg_markers.TABLES, jpeg_markers.HUFFMAN):
            tables.append(jpeg[segment.start : segment.end])
        elif segment.marker != jpeg_markers.APP0:  # the JFIF header has no place in a TIFF
            image.append(jpeg[segment.start : segment.end])
    return b"".join([*tables, jpeg_markers.EOI]), b"".join(image)


@dataclasses.dataclass(frozen=True, eq=False)
class _Tile:
    encoded: bytes
    next_level: U8
    preview: U8


@dataclasses.dataclass(eq=False)
class _Strip:
    """A row of tiles of a lower level, filled step by step."""

    pixels: U8
    rows: int = 0  # filled so far
    top: int = 0  # of the strip in its level, px


class Pyramid:
    """Draw level 0 tile by tile, and average it to the lower levels and the thumbnail.

    Lower levels follow level 0 in the file, so their encoded tiles wait in `spill`. One row of
    tiles of each level is in memory.

    Args:
      draw: pixels of the rectangle (x, y, width, height) of level 0.
      encode: with the tags of the tiles.
      level_sizes: width and height of each level, px.
      level_factor: from a level to the next; divides the tile size.
      thumbnail_size: largest width and height of the thumbnail, px.
      spill: a scratch file.
    """

    def __init__(
        self,
        draw: Callable[[int, int, int, int], U8],
        encoder: TileEncoder,
        tile_size: int,
        level_sizes: list[tuple[int, int]],
        level_factor: int,
        thumbnail_size: tuple[int, int],
        spill: BinaryIO,
    ) -> None:
        self._draw = draw
        self._encode = encoder
        self._tile_size = tile_size
        self._sizes = level_sizes
        self._factor = level_factor
        self._thumbnail_size = thumbnail_size
        self._spill = spill
        self._spilled: list[list[tuple[int, int]]] = [[] for _ in level_sizes]  # offset, length
        self._strips = [
            _Strip(np.zeros((tile_size, _tiles(width, tile_size) * tile_size, 3), np.uint8))
            for width, _ in level_sizes[1:]
        ]
        width, height = level_sizes[0]
        # The coarsest average of whole blocks of a tile that is not coarser than the thumbnail.
        scale = max(width / thumbnail_size[0], height / thumbnail_size[1], 1)
        self._block = max(n for n in range(1, tile_size + 1) if tile_size % n == 0 and n <= scale)
        self._preview = np.zeros((height // self._block, width // self._block, 3), np.uint8)

    def tiles(self, level: int) -> Iterator[bytes]:
        """Return the encoded tiles of a level, row by row. Ask for level 0 first."""
        return self._level_0() if level == 0 else self._lower_level(level)

    def thumbnail(self) -> U8:
        """Return the thumbnail of the whole slide, uint8 RGB. Call it when level 0 is done."""
        width, height = self._sizes[0]
        scale = max(width / self._thumbnail_size[0], height / self._thumbnail_size[1], 1)
        size = (max(round(width / scale), 1), max(round(height / scale), 1))
        return np.asarray(cv2.resize(self._preview, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _level_0(self) -> Iterator[bytes]:
        across, down = (_tiles(length, self._tile_size) for length in self._sizes[0])
        workers = os.cpu_count() or 1
        waiting: collections.deque[tuple[int, int, concurrent.futures.Future[_Tile]]]
        waiting = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for row in range(down):
                for column in range(across):
                    waiting.append((column, row, pool.submit(self._make, column, row)))
                    if len(waiting) > TILES_AHEAD * workers:
                        yield self._keep(*waiting.popleft())
            while waiting:
                yield self._keep(*waiting.popleft())

    def _make(self, column: int, row: int) -> _Tile:
        size = self._tile_size
        pixels = self._draw(column * size, row * size, size, size)
        return _Tile(
            self._encode(pixels), average(pixels, self._factor), average(pixels, self._block)
        )

    def _keep(self, column: int, row: int, future: concurrent.futures.Future[_Tile]) -> bytes:
        tile = future.result()
        side = len(tile.preview)
        _paste(self._preview, tile.preview, column * side, row * side)
        if self._strips:
            strip = self._strips[0]
            side = len(tile.next_level)
            _paste(strip.pixels, tile.next_level, column * side, strip.rows)
            if column == _tiles(self._sizes[0][0], self._tile_size) - 1:
                last = row == _tiles(self._sizes[0][1], self._tile_size) - 1
                self._advance(1, side, last)
        return tile.encoded

    def _advance(self, level: int, rows: int, last: bool) -> None:
        """Count new rows of a strip, and encode the strip when it is full or the last."""
        strip = self._strips[level - 1]
        strip.rows += rows
        if strip.rows < self._tile_size and not last:
            return
        width, height = self._sizes[level]
        valid = min(strip.rows, height - strip.top)
        if valid > 0:
            # Pixels beyond the edge repeat it; else the codec would blur black into the level.
            strip.pixels[valid:] = strip.pixels[valid - 1]
            strip.pixels[:, width:] = strip.pixels[:, width - 1 : width]
            for left in range(0, strip.pixels.shape[1], self._tile_size):
                tile = np.ascontiguousarray(strip.pixels[:, left : left + self._tile_size])
                encoded = self._encode(tile)
                self._spilled[level].append((self._spill.tell(), len(encoded)))
                self._spill.write(encoded)
        if level < len(self._strips):
            below = self._strips[level]
            smaller = average(strip.pixels, self._factor)
            _paste(below.pixels, smaller, 0, below.rows)
            self._advance(level + 1, len(smaller), last)
        strip.top += strip.rows
        strip.rows = 0

    def _lower_level(self, level: int) -> Iterator[bytes]:
        for offset, length in self._spilled[level]:
            self._spill.seek(offset)
            yield self._spill.read(length)


def average(pixels: U8, factor: int) -> U8:
    """Return the rounded means of blocks of `factor` x `factor` pixels; whole blocks only."""
    height, width = (length // factor for length in pixels.shape[:2])
    whole = pixels[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _tiles(length: int, tile_size: int) -> int:
    return -(-length // tile_size)


def _paste(canvas: U8, tile: U8, left: int, top: int) -> None:
    """Paste a tile into the canvas, without the part beyond its right and bottom edges."""
    target = canvas[top : top + tile.shape[0], left : left + tile.shape[1]]
    target[:] = tile[: target.shape[0], : target.shape[1]]
