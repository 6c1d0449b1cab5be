"""Reading a region by OpenSlide with Python's lock held as little as possible.

openslide-python returns a Pillow image, which NumPy copies while it holds the lock, and that bounds
the patches of a process however many cores it has. Here OpenSlide fills an array, and OpenCV
converts it; both release the lock. benchmarks/interpreter_lock.py measures it.
"""

from __future__ import annotations

import ctypes

import cv2
import numpy as np
import numpy.typing as npt
import openslide
from openslide import lowlevel

from beamscope.transforms.slides.readers.pixels import OPAQUE, composite

_OPAQUE_ARGB = 0xFF000000
# OpenSlide's pixels are numbers of the machine, ARGB; little-endian ones have blue first.
_TO_RGB = cv2.COLOR_BGRA2RGB

# OpenSlide's own function, called as `openslide.lowlevel.read_region` calls it, errors included.
# There is no public way to its buffer; a version that hides it is read through Pillow.
_read_region = getattr(lowlevel, "_read_region", None)


def read_region(
    handle: openslide.OpenSlide,
    place: tuple[int, int],
    level: int,
    size: tuple[int, int],
    background: tuple[int, int, int],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
    """Read a region and lay it on a background.

    Args:
      handle: an open slide.
      place: left and top edge in level-0 pixels.
      level: to read.
      size: width and height in pixels of that level.
      background: RGB of what is transparent.

    Returns:
      uint8 RGB ``[height, width, 3]``; and bool ``[height, width]``, where pixels are half opaque
      at least, None where all are opaque.

    Raises:
      openslide.OpenSlideError: it cannot be read; this handle reads nothing any more.
    """
    surface = getattr(handle, "_osr", None)
    width, height = size
    if _read_region is None or surface is None or width < 1 or height < 1:
        rgba = np.asarray(handle.read_region(place, level, size))
        alpha = rgba[..., 3]
        return composite(rgba, background), None if (alpha == 255).all() else alpha >= OPAQUE
    argb = np.empty((height, width), np.uint32)
    pointer = argb.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32))
    _read_region(surface, pointer, *place, level, width, height)
    return flatten(argb, background)


def flatten(
    argb: npt.NDArray[np.uint32], background: tuple[int, int, int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_] | None]:
    """Lay pixels as OpenSlide gives them on a background; see `read_region`.

    Args:
      argb: ``[height, width]``, alpha in the highest byte, multiplied into the colours.
      background: RGB.
    """
    if not argb.size:
        return np.empty((*argb.shape, 3), np.uint8), None
    rgb: npt.NDArray[np.uint8] = cv2.cvtColor(argb.view(np.uint8).reshape(*argb.shape, 4), _TO_RGB)
    if argb.min() >= _OPAQUE_ARGB:
        return rgb, None
    alpha = (argb >> 24).astype(np.uint8)
    rgb[alpha == 0] = background
    # Few: the pixels along the edge of what was scanned.
    between = (alpha != 0) & (alpha != 255)
    if between.any():
        over = alpha[between][:, None]
        # Without alpha in the colours: rounded down and cut to a byte, as openslide-python does.
        straight = (rgb[between].astype(np.uint32) * 255 // over).astype(np.uint8)
        rgb[between] = composite(np.hstack([straight, over])[None], background)[0]
    return rgb, alpha >= OPAQUE
