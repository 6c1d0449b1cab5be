"""Getting and decoding the tiles of a level: one by one, or those of a rectangle."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.readers.native.jpeg import TileError
from beamscope.transforms.slides.readers.native.subpixel import Canvas, shift
from beamscope.transforms.slides.readers.native.tiff import MAX_TILE_BYTES, TileLevel
from beamscope.transforms.storage.byte_source import ByteSource

# Waits for the bytes of a tile; raises TileError where they cannot be had.
TileBytes = Callable[[], bytes]


def request_tiles(
    source: ByteSource, level: TileLevel, places: Sequence[tuple[int, int]]
) -> list[TileBytes]:
    """Ask for the bytes of several tiles at once, each given as (row, column)."""
    ranges = [(int(level.offsets[place]), int(level.lengths[place])) for place in places]
    fine = [
        length <= MAX_TILE_BYTES and offset + length <= source.size for offset, length in ranges
    ]
    requested = iter(source.request([pair for pair, ok in zip(ranges, fine, strict=True) if ok]))
    return [functools.partial(_waited_for, next(requested)) if ok else _outside for ok in fine]


def _outside() -> bytes:
    raise TileError("lies beyond the end of the file")


def _waited_for(request: Callable[[], bytes]) -> bytes:
    try:
        return request()
    except InputError as error:
        # Of all else not this tile is to blame, but the file as a whole.
        if error.kind != Kind.UNREADABLE_BYTES:
            raise
        raise TileError(error.message) from error


def decode_tile(
    level: TileLevel, data: TileBytes, scale: int, pixels: npt.NDArray[np.uint8]
) -> str | None:
    """Decode a tile into `pixels`, or return why it cannot be decoded; see `TileDecoder.decode`."""
    try:
        level.decoder.decode(data(), scale, pixels)
    except TileError as error:
        return one_line(error)
    return None


def read_area(
    source: ByteSource,
    level: TileLevel,
    x: float,
    y: float,
    size: tuple[int, int],
    background: tuple[int, int, int],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
    """Read a rectangle, as thumbnails are made from; all of its tiles are asked for at once.

    Args:
      source: the file.
      level: one that is served.
      x: left edge, in pixels of the level.
      y: top edge, likewise.
      size: width and height, likewise.
      background: colour of what lies outside the level or was never scanned.

    Returns:
      uint8 RGB ``[height, width, 3]``; and bool ``[height, width]``, where there are stored pixels,
      None where everywhere.

    Raises:
      InputError: ``unreadable_region`` where a tile cannot be decoded.
    """
    grid = level.grid()
    left, top = math.floor(x), math.floor(y)
    between = left != x or top != y
    box = left, top, size[0] + between, size[1] + between
    places = grid.places(*box)
    present = [place for place in places if grid.present[place]]
    partial = not grid.is_inside(*box) or len(present) < len(places)
    pixels = np.empty((box[3], box[2], 3), np.uint8)
    if partial:
        pixels[:] = background
    tile = np.empty((level.tile_height, level.tile_width, 3), np.uint8)
    for place, data in zip(present, request_tiles(source, level, present), strict=True):
        if failure := decode_tile(level, data, 1, tile):
            raise InputError(Kind.UNREADABLE_REGION, f"{level.where(*place)}: {failure}")
        grid.paste(tile, *place, pixels, left, top)
    covered = grid.covered(*box) if partial else None
    if not between:
        return pixels, covered
    seams = grid.column_seams(left, box[2]), grid.row_seams(top, box[3])
    return shift(Canvas(pixels, covered, *seams, background), x - left, y - top)
