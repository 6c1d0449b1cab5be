"""The stored JPEG of patches that are exactly a tile."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.native.tiff import TileLevel
from beamscope.transforms.slides.readers.native.tiles import decode_tile, request_tiles
from beamscope.transforms.storage.byte_source import ByteSource


def tile_streams(
    source: ByteSource,
    level: TileLevel,
    x_level0: npt.NDArray[np.integer],
    y_level0: npt.NDArray[np.integer],
    read: ReadPlan,
    pixels: npt.NDArray[np.uint8],
) -> list[bytes | None]:
    """Return the stored JPEG of each patch that is exactly a tile, None for the others.

    The tile's own header and the tables of its level are merged to a JPEG of its own.

    Args:
      source: of the slide's bytes.
      level: that the patches are read from.
      x_level0: ``[n]``, left edges in level-0 pixels.
      y_level0: ``[n]``, top edges, likewise.
      read: the plan of reading.
      pixels: uint8 ``[n, patch_px, patch_px, 3]``, as the patches were read.
    """
    streams: list[bytes | None] = [None] * len(x_level0)
    size = level.tile_width, level.tile_height
    decoder = level.decoder
    if size != (read.read_px, read.read_px) or read.patch_px != read.read_px:
        return streams
    if not decoder.is_jpeg:
        return streams
    x, y = (np.asarray(edges, np.float64) / level.downsample for edges in (x_level0, y_level0))
    exact = (x % size[0] == 0) & (y % size[1] == 0) & (x >= 0) & (y >= 0)
    exact &= (x + size[0] <= level.width) & (y + size[1] <= level.height)
    rows = [int(row) for row in np.flatnonzero(exact)]
    places = [(int(y[row]) // size[1], int(x[row]) // size[0]) for row in rows]
    there = [pair for pair in zip(rows, places, strict=True) if level.lengths[pair[1]]]
    requested = request_tiles(source, level, [place for _, place in there])
    decoded = np.empty((size[1], size[0], 3), np.uint8)
    for (row, _), data in zip(there, requested, strict=True):
        # What is damaged, or was read by another reader, is not passed on.
        if decode_tile(level, data, 1, decoded) is None and np.array_equal(decoded, pixels[row]):
            streams[row] = decoder.stream(data())
    return streams
