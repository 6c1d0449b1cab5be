"""Reading a rectangle of a level, as thumbnails are made from."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.native.subpixel import Canvas, shift
from beamscope.transforms.slides.readers.native.tiff import TileLevel
from beamscope.transforms.slides.readers.native.tiles import decode_tile, request_tiles
from beamscope.transforms.storage.byte_source import ByteSource


def read_area(
    source: ByteSource,
    level: TileLevel,
    x: float,
    y: float,
    size: tuple[int, int],
    background: tuple[int, int, int],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
    """Reads a rectangle; all of its tiles are asked for at once.

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
