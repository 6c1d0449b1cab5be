"""Compare what two levels show: a label may have the very shape of its slide."""

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

# Squares of the thumbnail that are compared: those with the most structure. Where there is none,
# a grid of as many across and down.
_PLACES = 5
_GRID = 8
_SIDE_PX = 12
# Scanners shift levels against each other by a pixel or so.
_SHIFT_PX = 1
# Grey levels. A square of a smaller standard deviation shows noise, not structure.
_LEAST_DEVIATION = 6.0
# Between the mean grey levels of one place in two levels.
_MOST_DIFFERENCE = 40.0
# Structures of one slide correlate by 0.9 and more, by 0.6 to 0.9 where levels are badly
# registered; those of two pictures by less than 0.2 (measured on slides, labels and macros).
_LEAST_CORRELATION = 0.5


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
    places, structured = _places(grey, thumbnail.scanned & ~thumbnail.unreadable)
    alike = [
        _is_alike(there, grey[y : y + _SIDE_PX, x : x + _SIDE_PX])
        for x, y in places
        if (there := _read_grey(slide, level, thumbnail, x, y)) is not None
    ]
    return 2 * sum(alike) >= len(alike) if structured else all(alike)


def _places(
    grey: npt.NDArray[np.uint8], usable: npt.NDArray[np.bool_]
) -> tuple[list[tuple[int, int]], bool]:
    """Return the (x, y) of the squares to compare, and whether they have structure."""
    down, across = ((length - 2 * _SHIFT_PX) // _SIDE_PX for length in grey.shape)
    if down < 1 or across < 1:
        return [], False
    inside = (
        slice(_SHIFT_PX, _SHIFT_PX + down * _SIDE_PX),
        slice(_SHIFT_PX, _SHIFT_PX + across * _SIDE_PX),
    )
    deviation = _deviation(grey[inside], across, down)
    if not usable.all():
        shape = down, _SIDE_PX, across, _SIDE_PX
        deviation[~usable[inside].reshape(shape).all(axis=(1, 3))] = -1
    best = np.argsort(-deviation, axis=None, kind="stable")[:_PLACES]
    best = best[deviation.flat[best] >= _LEAST_DEVIATION]
    structured = len(best) > 0
    if structured:
        rows, columns = np.unravel_index(best, deviation.shape)
    else:
        rows, columns = (
            axis.ravel()
            for axis in np.meshgrid(
                *(np.unique(np.linspace(0, n - 1, _GRID).astype(int)) for n in (down, across)),
                indexing="ij",
            )
        )
        known = deviation[rows, columns] >= 0
        rows, columns = rows[known], columns[known]
    corners = zip(columns.tolist(), rows.tolist(), strict=True)
    return [(_SHIFT_PX + x * _SIDE_PX, _SHIFT_PX + y * _SIDE_PX) for x, y in corners], structured


def _deviation(grey: npt.NDArray[np.uint8], across: int, down: int) -> npt.NDArray[np.float32]:
    """Return the standard deviation in each of the squares that an image is cut into."""
    # Of every other pixel both ways: a quarter of the work.
    value = grey[::2, ::2].astype(np.float32)
    mean, of_squares = (
        cv2.resize(plane, (across, down), interpolation=cv2.INTER_AREA)
        for plane in (value, value * value)
    )
    return np.sqrt(np.maximum(of_squares - mean * mean, 0, dtype=np.float32))


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
    middle = there[_SHIFT_PX:-_SHIFT_PX, _SHIFT_PX:-_SHIFT_PX]
    if abs(float(here.mean()) - float(middle.mean())) > _MOST_DIFFERENCE:
        return False
    if here.std() < _LEAST_DEVIATION:
        return bool(middle.std() < 2 * _LEAST_DEVIATION)
    correlation = cv2.matchTemplate(there, here, cv2.TM_CCOEFF_NORMED)
    return bool(correlation.max() >= _LEAST_CORRELATION)
