"""Pixel helpers of every reader: lay pixels on a background, and scale them."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

_WHITE = (255, 255, 255)
# Alpha from which on a pixel counts as scanned.
OPAQUE = 128


def background_color(properties: Mapping[str, str]) -> tuple[int, int, int]:
    """Return the RGB behind transparent pixels: ``openslide.background-color`` (hex), or white."""
    text = properties.get("openslide.background-color", "")
    try:
        red, green, blue = bytes.fromhex(text)
    except ValueError:
        return _WHITE
    return red, green, blue


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
