"""Lay pixels on a background, scale them, and turn them upright."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

_Pixels = TypeVar("_Pixels", bound=np.generic)


def composite(
    rgba: npt.NDArray[np.uint8], background: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Lay uint8 RGBA ``[h, w, 4]`` (alpha not multiplied in) on a colour: uint8 ``[h, w, 3]``."""
    alpha = rgba[..., 3:]
    if (alpha == 255).all():
        return rgba[..., :3]
    # 8-bit "over", rounded to nearest.
    weighted = rgba[..., :3].astype(np.uint32) * alpha
    weighted += np.array(background, np.uint32) * (255 - alpha.astype(np.uint32))
    return ((weighted + 127) // 255).astype(np.uint8)


def resample(rgb: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Scale uint8 ``[h, w, 3]`` to the given size: area averaging down, linear up."""
    if rgb.shape[:2] == (height, width):
        return rgb
    shrinking = rgb.shape[0] >= height and rgb.shape[1] >= width
    method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    resized: npt.NDArray[np.uint8] = cv2.resize(rgb, (width, height), interpolation=method)
    return resized


def upright(pixels: npt.NDArray[_Pixels], orientation: int) -> npt.NDArray[_Pixels]:
    """Undo what EXIF's orientation, 1 to 8, says the camera did; other values say nothing.

    Args:
      pixels: ``[height, width]`` or ``[height, width, channels]``.
      orientation: value of EXIF's tag 274.
    """
    if 5 <= orientation <= 8:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
