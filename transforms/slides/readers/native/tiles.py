"""Getting and decoding single tiles of a level."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.readers.native.jpeg import TileError
from beamscope.transforms.slides.readers.native.tiff import MAX_TILE_BYTES, TileLevel
from beamscope.transforms.storage.byte_source import ByteSource

# Waits for the bytes of a tile; raises TileError where they cannot be had.
TileBytes = Callable[[], bytes]


def request_tiles(
    source: ByteSource, level: TileLevel, places: Sequence[tuple[int, int]]
) -> list[TileBytes]:
    """Asks for the bytes of several tiles at once, each given as (row, column)."""
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
    """Decodes a tile into `pixels`, or says why it cannot be; see `TileDecoder.decode`."""
    try:
        level.decoder.decode(data(), scale, pixels)
    except TileError as error:
        return one_line(error)
    return None
