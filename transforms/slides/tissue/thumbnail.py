"""A thumbnail of a slide for planning: read in bounded memory, unreadable places marked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import SlideReader
from beamscope.transforms.slides.readers.geometry import Level, Region
from beamscope.transforms.slides.readers.pixels import resample

# Regions are read in squares of about this side (16 MB of RGBA), whatever the slide's size.
_CHUNK_PX = 2048
# A failed square is divided down to about this side before it counts as unreadable.
_SMALLEST_CHUNK_PX = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Thumbnail:
    """A small picture of a region of a slide.

    Attributes:
      rgb: uint8 ``[h, w, 3]``, laid on the slide's background colour.
      scanned: bool ``[h, w]``, False where the slide is transparent: nothing was scanned there.
      unreadable: bool ``[h, w]``, True where the file could not be read; `rgb` says nothing there.
      region: what it shows, in level-0 pixels.
      scale_x: level-0 pixels per thumbnail pixel along x.
      scale_y: level-0 pixels per thumbnail pixel along y.
    """

    rgb: npt.NDArray[np.uint8]
    scanned: npt.NDArray[np.bool_]
    unreadable: npt.NDArray[np.bool_]
    region: Region
    scale_x: float
    scale_y: float

    def shrunk(self, scale: float) -> Thumbnail:
        """Return it at about `scale` level-0 pixels a pixel, by area averaging; never larger."""
        height, width = self.scanned.shape
        new_width = min(width, max(1, round(self.region.width / scale)))
        new_height = min(height, max(1, round(self.region.height / scale)))
        return Thumbnail(
            resample(self.rgb, new_width, new_height),
            _most(self.scanned, new_width, new_height),
            _most(self.unreadable, new_width, new_height),
            self.region,
            self.region.width / new_width,
            self.region.height / new_height,
        )


def _most(mask: npt.NDArray[np.bool_], width: int, height: int) -> npt.NDArray[np.bool_]:
    """Return the mask at another size: True where at least half of the area is."""
    if mask.all() or not mask.any():
        return np.full((height, width), mask.flat[0])
    share = resample(np.repeat(mask[..., None] * np.uint8(255), 3, axis=2), width, height)
    return share[..., 0] >= 128


def content_region(reader: SlideReader) -> Region:
    """Return where a slide has content: ``openslide.bounds-*`` cut to the slide, else all."""
    width, height = reader.dimensions
    try:
        x, y, w, h = (
            int(reader.properties[f"openslide.bounds-{name}"])
            for name in ("x", "y", "width", "height")
        )
    except (KeyError, ValueError):
        return Region(0, 0, width, height)
    left, top = max(0, x), max(0, y)
    return Region(left, top, min(x + w, width) - left, min(y + h, height) - top)


def thumbnail_level(levels: Sequence[Level], scale: float) -> Level:
    """Return the level that a thumbnail of `scale` level-0 pixels a pixel is read from."""
    wanted = max(1.0, scale)
    fitting = [level for level in levels if level.downsample <= wanted * 1.001]
    return max(fitting, key=lambda level: level.downsample)


def read_thumbnail(reader: SlideReader, level: Level, region: Region, scale: float) -> Thumbnail:
    """Read a region of a slide by area averaging.

    Args:
      reader: the slide.
      level: to read, see `thumbnail_level`.
      region: the rectangle to show.
      scale: level-0 pixels per thumbnail pixel, about; never below 1.
    """
    wanted = max(1.0, scale)
    width = max(1, round(region.width / wanted))
    height = max(1, round(region.height / wanted))
    thumbnail = Thumbnail(
        np.empty((height, width, 3), np.uint8),
        np.empty((height, width), np.bool_),
        np.zeros((height, width), np.bool_),
        region,
        region.width / width,
        region.height / height,
    )
    step = max(1, int(_CHUNK_PX * level.downsample / max(thumbnail.scale_x, thumbnail.scale_y)))
    for top in range(0, height, step):
        for left in range(0, width, step):
            box = (left, top, min(left + step, width), min(top + step, height))
            _fill(thumbnail, reader, level, box)
    return thumbnail


def _fill(
    thumbnail: Thumbnail,
    reader: SlideReader,
    level: Level,
    box: tuple[int, int, int, int],
) -> None:
    """Fill a box (left, top, right, bottom) of thumbnail pixels, or mark it as unreadable."""
    left, top, right, bottom = box
    x0 = thumbnail.region.x + left * thumbnail.scale_x
    y0 = thumbnail.region.y + top * thumbnail.scale_y
    read_width = max(1, round((right - left) * thumbnail.scale_x / level.downsample))
    read_height = max(1, round((bottom - top) * thumbnail.scale_y / level.downsample))
    try:
        rgb, scanned = reader.read_area(round(x0), round(y0), level.number, read_width, read_height)
    except InputError as error:
        if error.kind != Kind.UNREADABLE_REGION:
            raise
        if max(read_width, read_height) <= _SMALLEST_CHUNK_PX or _is_one_pixel(box):
            thumbnail.rgb[top:bottom, left:right] = reader.background
            thumbnail.scanned[top:bottom, left:right] = True
            thumbnail.unreadable[top:bottom, left:right] = True
            return
        middle_x, middle_y = math.ceil((left + right) / 2), math.ceil((top + bottom) / 2)
        for part_left, part_right in ((left, middle_x), (middle_x, right)):
            for part_top, part_bottom in ((top, middle_y), (middle_y, bottom)):
                if part_left < part_right and part_top < part_bottom:
                    quarter = (part_left, part_top, part_right, part_bottom)
                    _fill(thumbnail, reader, level, quarter)
        return
    size = right - left, bottom - top
    thumbnail.rgb[top:bottom, left:right] = resample(rgb, *size)
    thumbnail.scanned[top:bottom, left:right] = True if scanned is None else _most(scanned, *size)


def _is_one_pixel(box: tuple[int, int, int, int]) -> bool:
    """Return whether a box of thumbnail pixels cannot be divided any further."""
    left, top, right, bottom = box
    return right - left <= 1 and bottom - top <= 1
