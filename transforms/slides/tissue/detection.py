"""Find tissue on a thumbnail, and measure how much of it lies in a rectangle."""

from __future__ import annotations

import dataclasses
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# Saturation is the spread of a pixel's channels, 0 to 255 (that of HSV times its value): unlike HSV
# saturation it is small in black, where a spread of a few grey levels means nothing.
# Otsu's threshold always splits: below the floor it would split the noise of empty glass, above
# the cap it would split pale tissue from dark tissue.
SATURATION_FLOOR = 9
SATURATION_CAP = 20
# The same for the brightness of dark slides, whose camera leaves its background almost at zero.
BRIGHTNESS_FLOOR = 12
BRIGHTNESS_CAP = 24
# A pixel whose brightest channel is below this is black: not scanned, a stitch, or ink. On a bright
# slide it is no tissue. Dense haematoxylin still lets some 60 of 255 of the blue through.
NEAR_BLACK = 40
# A dark slide has much black, and what is not black is dim: one fluorescent channel at its maximum
# has a mean of 85, while stained tissue and glass have means above 100.
DARK_BLACK_FRACTION = 0.1
DARK_MEAN = 100
# On a dark slide nuclei are dots some tens of µm apart; tissue is where there are many.
DARK_BLUR_UM = 16.0
# An object of less than 70 µm squared is dust or a few cells: less than half of the smallest patch
# in use (224 px at 0.5 µm). A hole of less than 80 µm squared is a lumen, a vessel or a fat cell.
MIN_OBJECT_UM2 = 5_000.0
MIN_HOLE_UM2 = 6_400.0
# Nor is an object too small that is a large part of a slide which is itself tiny.
MIN_OBJECT_FRACTION = 0.25
# Glass: one bright colour, the same within the tolerance over much of the slide, with next to
# nothing brighter. Taken as white when nearly colourless, or of a colour so strong that only a
# wrong decoding can have made it (and something else is there); a tint in between may be tissue.
GLASS_FRACTION = 0.25
GLASS_TOLERANCE = 6
GLASS_BRIGHTEST = 225
GLASS_BRIGHTER_FRACTION = 0.02
GLASS_TINT = 20
GLASS_WRONG_COLOUR = 90
# Each takes some 200 bytes on the way.
_RECTANGLES_AT_ONCE = 1 << 18

Method = Literal["saturation", "brightness"]


@dataclasses.dataclass(frozen=True, eq=False)
class Tissue:
    """Tissue on a thumbnail, and how it was found.

    Attributes:
      mask: True where there is tissue, ``[h, w]``.
      method: ``saturation`` for a bright slide, ``brightness`` for one on black.
      threshold: grey levels, 0 to 255; tissue is above it.
    """

    mask: Bools
    method: Method
    threshold: float


@dataclasses.dataclass(frozen=True, eq=False)
class TissueValues:
    """What is divided into tissue and the rest, and where Otsu divides it.

    Attributes:
      values: saturation or brightness, uint8 ``[h, w]``; 0 where there can be no tissue.
      scanned: False where the slide has no pixels, ``[h, w]``.
      method: which of both the values are.
      otsu: Otsu's threshold within its bounds, 0 to 255; tissue is above it.
    """

    values: U8
    scanned: Bools
    method: Method
    otsu: int


def find_tissue(
    rgb: U8,
    *,
    mpp: float,
    scanned: Bools | None = None,
    threshold: float | None = None,
    min_object_um2: float = MIN_OBJECT_UM2,
    min_hole_um2: float = MIN_HOLE_UM2,
) -> Tissue:
    """Find tissue by a threshold, without small objects and with small holes filled.

    Args:
      rgb: thumbnail of about 8 µm per pixel, uint8 ``[h, w, 3]``.
      mpp: size of a pixel of the thumbnail, µm.
      scanned: False where the slide has no pixels, ``[h, w]``; None when it has them everywhere.
        There is no tissue there, and the colour that fills it plays no part.
      threshold: 0 to 1 of the largest value, see `TissueValues`; None for Otsu's.
      min_object_um2: a smaller object is no tissue, unless it is much of a tiny slide.
      min_hole_um2: a smaller hole is tissue.

    Raises:
      ValueError: shapes or mpp are not possible.
    """
    found = tissue_values(rgb, mpp=mpp, scanned=scanned)
    dividing = found.otsu if threshold is None else 255 * threshold
    mask = divided(found, dividing, mpp, min_object_um2, min_hole_um2)
    return Tissue(mask, found.method, dividing)


def divided(
    found: TissueValues, threshold: float, mpp: float, min_object_um2: float, min_hole_um2: float
) -> Bools:
    """Return where the tissue is: bool ``[h, w]``.

    Args:
      found: the values to divide.
      threshold: tissue is above it, 0 to 255.
      mpp: size of a pixel, µm.
      min_object_um2: see `find_tissue`.
      min_hole_um2: likewise.
    """
    area = mpp * mpp
    scanned = np.count_nonzero(found.scanned)
    smallest = min(min_object_um2 / area, MIN_OBJECT_FRACTION * scanned)
    mask = _without_small(found.values > threshold, smallest)
    return _with_holes_filled(mask, min_hole_um2 / area) & found.scanned


def tissue_values(rgb: U8, *, mpp: float, scanned: Bools | None = None) -> TissueValues:
    """Return the values by which tissue is found; arguments and errors as `find_tissue`."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"a thumbnail is uint8 [h, w, 3], not {rgb.dtype} {list(rgb.shape)}")
    if scanned is None:
        scanned = np.ones(rgb.shape[:2], bool)
    if scanned.shape != rgb.shape[:2] or not mpp > 0:
        raise ValueError(f"scanned {list(scanned.shape)} or mpp {mpp} do not fit {list(rgb.shape)}")
    method: Method
    brightness = _brightest(rgb)
    black = brightness < NEAR_BLACK
    if _is_dark(rgb, scanned, black):
        # Blurred over scanned pixels alone, or their edge would fade into the filling colour.
        weight = _blur(scanned.astype(np.float32), DARK_BLUR_UM / mpp)
        level = _blur(np.where(scanned, brightness, 0).astype(np.float32), DARK_BLUR_UM / mpp)
        level = np.divide(level, weight, out=np.zeros_like(level), where=weight > 1e-6)
        values, usable = np.rint(level).clip(0, 255).astype(np.uint8), scanned
        method, floor, cap = "brightness", BRIGHTNESS_FLOOR, BRIGHTNESS_CAP
    else:
        usable = scanned & ~black
        balanced = _white_balanced(rgb, usable)
        values = _brightest(balanced) - _darkest(balanced)
        method, floor, cap = "saturation", SATURATION_FLOOR, SATURATION_CAP
    otsu = min(max(_otsu(values[usable]), floor), cap)
    return TissueValues(np.where(usable, values, np.uint8(0)), scanned, method, otsu)


def _brightest(rgb: U8) -> U8:
    """Return the largest of each pixel's channels, several times as fast as ``max(axis=2)``."""
    red, green, blue = cv2.split(rgb)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def _darkest(rgb: U8) -> U8:
    red, green, blue = cv2.split(rgb)
    return np.asarray(cv2.min(cv2.min(red, green), blue), np.uint8)


def _is_dark(rgb: U8, scanned: Bools, black: Bools) -> bool:
    pixels, dark = np.count_nonzero(scanned), np.count_nonzero(scanned & black)
    if pixels == 0 or dark / pixels < DARK_BLACK_FRACTION:
        return False
    return bool(dark == pixels or np.median(rgb[scanned & ~black].mean(axis=1)) < DARK_MEAN)


def _white_balanced(rgb: U8, usable: Bools) -> U8:
    """Return the thumbnail with its glass made white, if it certainly shows glass."""
    pixels = np.count_nonzero(usable)
    if pixels == 0:
        return rgb
    # The commonest colour: first to 16 levels a channel, then the median about that cell.
    planes = cv2.split(rgb)
    red, green, blue = (plane.astype(np.uint16) for plane in planes)
    cells = (red >> 4) << 8 | (green >> 4) << 4 | blue >> 4
    cell = int(np.bincount(cells[usable], minlength=4096).argmax())
    in_cell = usable & (cells == cell)
    glass = np.array([_median(plane[in_cell]) for plane in planes])
    lowest = np.ceil(glass - GLASS_TOLERANCE).clip(0, 255)
    highest = np.floor(glass + GLASS_TOLERANCE).clip(0, 255)
    near = np.count_nonzero(usable & (cv2.inRange(rgb, lowest, highest) > 0)) / pixels
    not_brighter = np.count_nonzero(np.arange(3 * 256) / 3 <= glass.mean() + 2 * GLASS_TOLERANCE)
    brighter = red + green + blue >= not_brighter
    brighter_fraction = np.count_nonzero(usable & brighter) / pixels
    tint = glass.max() - glass.min()
    tinted = tint <= GLASS_TINT
    wrong = tint >= GLASS_WRONG_COLOUR and near < 1 - GLASS_BRIGHTER_FRACTION
    certain = (
        near >= GLASS_FRACTION
        and glass.max() >= GLASS_BRIGHTEST
        and brighter_fraction < GLASS_BRIGHTER_FRACTION
        and (tinted or wrong)
    )
    if not certain:
        return rgb
    scaled = np.arange(256)[:, None] * (255 / glass)
    table = np.rint(scaled).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(rgb, table[None]), np.uint8)


def _median(values: U8) -> float:
    """Return the median by counting, which is faster than sorting."""
    reached = np.bincount(values, minlength=256).cumsum()
    middle = np.searchsorted(reached, [(len(values) - 1) // 2, len(values) // 2], side="right")
    return float(middle.mean())


def _otsu(values: U8) -> int:
    if len(values) == 0:
        return 0
    return int(cv2.threshold(values, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0])


def _blur(image: npt.NDArray[np.float32], sigma: float) -> npt.NDArray[np.float32]:
    sigma = min(sigma, max(image.shape))
    blurred = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32)


def _without_small(mask: Bools, smallest: float) -> Bools:
    """Return the mask without the objects (8-connected) of fewer than `smallest` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= smallest
    keep[0] = False
    return mask if keep[1:].all() else np.asarray(keep[labels], bool)


def _with_holes_filled(mask: Bools, largest: float) -> Bools:
    """Return the mask with enclosed holes (4-connected) of fewer than `largest` pixels filled."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    left, top, width, height, area = stats.T
    # What touches the thumbnail's edge is open, however little of it shows.
    enclosed = (left > 0) & (top > 0)
    enclosed &= (left + width < mask.shape[1]) & (top + height < mask.shape[0])
    fill = enclosed & (area < largest)
    fill[0] = False
    return mask | np.asarray(fill[labels], bool) if fill.any() else mask


def tissue_fraction(
    mask: Bools | F32,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    width: npt.ArrayLike,
    height: npt.ArrayLike,
) -> npt.NDArray[np.float32]:
    """Return the exact fraction of each rectangle's area that is tissue; none is off the mask.

    The sum of the mask over a corner's upper left quadrant is bilinear between whole pixels, so
    interpolating the integral image (Crow, SIGGRAPH 1984) gives fractional rectangles exactly.

    Args:
      mask: tissue, bool ``[h, w]``; or the part of each pixel that is, float32, 0 to 1.
      x: left edges in pixels of the mask, ``[n]``; pixel i spans i to i + 1.
      y: top edges, likewise.
      width: of each rectangle or of all, above 0.
      height: likewise.

    Returns:
      float32 ``[n]``, 0 to 1.

    Raises:
      ValueError: a width or height that is not above 0.
    """
    left, top, wide, high = np.broadcast_arrays(
        *(np.asarray(value, np.float64) for value in (x, y, width, height))
    )
    if not ((wide > 0).all() and (high > 0).all()):
        raise ValueError("rectangles must be wider and higher than 0")
    values = mask.astype(np.uint8) if mask.dtype == bool else mask
    table = np.asarray(cv2.integral(values, sdepth=cv2.CV_64F), np.float64)
    fraction = np.empty(left.shape, np.float32)
    step = max(1, _RECTANGLES_AT_ONCE * len(left) // max(1, left.size))
    for start in range(0, len(left), step):
        some = slice(start, start + step)
        fraction[some] = _fraction(table, left[some], top[some], wide[some], high[some])
    return fraction


def _fraction(table: F64, left: F64, top: F64, wide: F64, high: F64) -> F64:
    right, bottom = left + wide, top + high
    covered = _sum_above(table, right, bottom) - _sum_above(table, left, bottom)
    covered += _sum_above(table, left, top) - _sum_above(table, right, top)
    return np.asarray(np.clip(covered / (wide * high), 0, 1))


def _sum_above(table: F64, x: F64, y: F64) -> F64:
    """Return the integral image at fractional points."""
    height, width = table.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    i = np.minimum(x.astype(np.int64), width - 2)
    j = np.minimum(y.astype(np.int64), height - 2)
    u, v = x - i, y - j
    upper = table[j, i] * (1 - u) + table[j, i + 1] * u
    lower = table[j + 1, i] * (1 - u) + table[j + 1, i + 1] * u
    return np.asarray(upper * (1 - v) + lower * v)


def outline(mask: Bools) -> list[npt.NDArray[np.int32]]:
    """Return contours of tissue and of its holes for drawing, each int32 ``[k, 2]`` of x, y."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [np.asarray(contour, np.int32).reshape(-1, 2) for contour in contours]
