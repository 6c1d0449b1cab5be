"""Fit images of any size to the square input of a model."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from beamscope.transforms.fingerprints import in_embedding
from beamscope.transforms.image_files.resizing import RESIZE_METHODS, ResizeMethod, resized
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

FitMethod = ResizeMethod | Literal["crop"]
FIT_METHODS: tuple[FitMethod, ...] = ("resize", "crop", *RESIZE_METHODS[1:])


@dataclasses.dataclass(frozen=True)
class Fit:
    """How an image becomes the model's input. Plans do not depend on it.

    Attributes:
      input_px: side of the model's input.
      method: one of `FIT_METHODS`. ``crop`` takes the middle, pixel by pixel; of an odd rest one
        pixel more is left out at the right and below. The others scale the whole image to a square,
        see `RESIZE_METHODS`; ``resize`` by area averaging where both sides shrink, else linearly.
    """

    input_px: int = in_embedding()
    method: FitMethod = in_embedding(default="resize", name="fit")

    def __str__(self) -> str:
        """Return what is done, for the terminal."""
        done = "cropped to the middle" if self.method == "crop" else "resized to"
        return f"{done} {self.input_px} px (--fit {self.method})"

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return uint8 ``[input_px, input_px, 3]`` of an image ``[height, width, 3]``.

        Raises:
          InputError: ``too_small`` for an image from which the input cannot be cropped.
        """
        height, width = pixels.shape[:2]
        size = self.input_px
        if self.method != "crop":
            return resized(pixels, size, size, self.method)
        if min(height, width) < size:
            raise InputError(
                Kind.TOO_SMALL, f"{size} px cannot be cropped from {width} x {height} px"
            )
        top, left = (height - size) // 2, (width - size) // 2
        return pixels[top : top + size, left : left + size]
