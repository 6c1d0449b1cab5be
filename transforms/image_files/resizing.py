"""Resize images as the makers of models do."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from beamscope.transforms.image_files.pixels import resample

# resize: by area averaging down, and linearly up. The others are Pillow's, which widen their filter
# where they shrink (antialiasing), as torchvision's transforms of images do.
ResizeMethod = Literal["resize", "bilinear", "bicubic", "lanczos", "nearest"]
RESIZE_METHODS: tuple[ResizeMethod, ...] = ("resize", "bilinear", "bicubic", "lanczos", "nearest")

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


def resized(
    rgb: npt.NDArray[np.uint8], width: int, height: int, method: ResizeMethod
) -> npt.NDArray[np.uint8]:
    """Scale uint8 ``[h, w, 3]`` to ``[height, width, 3]`` by one of `RESIZE_METHODS`."""
    if method == "resize":
        return resample(rgb, width, height)
    if rgb.shape[:2] == (height, width):
        return rgb
    # Rows of any stride, such as of a cropped image, are copied first.
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return np.asarray(image.resize((width, height), _FILTERS[method]))


def method_of_card(resize: str) -> ResizeMethod:
    """Return the method that a model card's ``resize`` names: ``area`` is ``resize`` here."""
    found: ResizeMethod = next((one for one in RESIZE_METHODS if one == resize), "resize")
    return found
