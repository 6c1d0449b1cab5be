"""Whether a level shows what another one shows: a label may have the very shape of its slide."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import SlideReader
from beamscope.transforms.slides.readers.geometry import Level
from beamscope.transforms.slides.readers.pixels import resample
from beamscope.transforms.slides.tissue.thumbnail import Thumbnail

# Squares of the thumbnail that are compared: those with the most structure.
_PLACES = 6
_SIDE_PX = 12
# Scanners shift levels against each other by a pixel or so.
_SHIFT_PX = 1
# Grey levels. A square of a smaller standard deviation shows noise, not structure.
_LEAST_DEVIATION = 6.0
# Of squares without structure the means are compared, grey levels.
_MOST_DIFFERENCE = 40.0
# Levels of one slide correlate by 0.9 and more, two pictures by less than 0.4 (measured).
_LEAST_CORRELATION = 0.6


def agrees(slide: SlideReader, level: Level, thumbnail: Thumbnail) -> bool:
    """Compare a level with a thumbnail that was made from another one, at a few places.

    Args:
      slide: the level is read from it, some tiles at each place.
      level: not the one of the thumbnail.
      thumbnail: of the slide.

    Returns:
      False where the two show different pictures. Places that cannot be read decide nothing.
    """
    grey = cv2.cvtColor(thumbnail.rgb, cv2.COLOR_RGB2GRAY)
    usable = thumbnail.scanned & ~thumbnail.unreadable
    alike = [
        _is_alike(there, grey[y : y + _SIDE_PX, x : x + _SIDE_PX])
        for x, y in _structured(grey, usable)
        if (there := _read_grey(slide, level, thumbnail, x, y)) is not None
    ]
    return 2 * sum(alike) >= len(alike)


def _structured(
    grey: npt.NDArray[np.uint8], usable: npt.NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """Return the (x, y) of the squares with the highest deviation, a shift from every edge."""
    inner = grey[_SHIFT_PX:-_SHIFT_PX, _SHIFT_PX:-_SHIFT_PX]
    down, across = (length // _SIDE_PX for length in inner.shape)
    if not down or not across:
        return []

    def squares(plane: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        cut = plane[_SHIFT_PX:, _SHIFT_PX:][: down * _SIDE_PX, : across * _SIDE_PX]
        return cut.reshape(down, _SIDE_PX, across, _SIDE_PX)

    deviation = squares(grey).astype(np.float32).std(axis=(1, 3))
    deviation[~squares(usable).astype(np.bool_).all(axis=(1, 3))] = -1
    best = np.argsort(-deviation, axis=None, kind="stable")[:_PLACES]
    rows, columns = np.unravel_index(best[deviation.flat[best] >= 0], deviation.shape)
    return [
        (int(column) * _SIDE_PX + _SHIFT_PX, int(row) * _SIDE_PX + _SHIFT_PX)
        for row, column in zip(rows, columns, strict=True)
    ]


def _read_grey(
    slide: SlideReader, level: Level, thumbnail: Thumbnail, x: int, y: int
) -> npt.NDArray[np.uint8] | None:
    """Read a square of the thumbnail and a shift around it from a level, at its scale."""
    side = _SIDE_PX + 2 * _SHIFT_PX
    corner = (
        round(thumbnail.region.x + (x - _SHIFT_PX) * thumbnail.scale_x),
        round(thumbnail.region.y + (y - _SHIFT_PX) * thumbnail.scale_y),
    )
    size = (
        max(1, round(side * thumbnail.scale_x / level.downsample)),
        max(1, round(side * thumbnail.scale_y / level.downsample)),
    )
    try:
        rgb, _ = slide.read_area(*corner, level.number, *size)
    except InputError as error:
        if error.kind != Kind.UNREADABLE_REGION:
            raise
        return None
    grey: npt.NDArray[np.uint8] = cv2.cvtColor(resample(rgb, side, side), cv2.COLOR_RGB2GRAY)
    return grey


def _is_alike(there: npt.NDArray[np.uint8], here: npt.NDArray[np.uint8]) -> bool:
    """Compare a square with its surroundings in another level."""
    if here.std() < _LEAST_DEVIATION:
        return abs(float(here.mean()) - float(there.mean())) <= _MOST_DIFFERENCE
    correlation = cv2.matchTemplate(there, here, cv2.TM_CCOEFF_NORMED)
    return bool(correlation.max() >= _LEAST_CORRELATION)
