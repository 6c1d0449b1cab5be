"""Fit images of any size to the square input of a model."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import numpy.typing as npt

from beamscope.transforms.fingerprints import in_plan
from beamscope.transforms.image_files.pixels import resample
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

FitMethod = Literal["resize", "crop"]
FIT_METHODS: tuple[FitMethod, ...] = ("resize", "crop")


@dataclasses.dataclass(frozen=True)
class Fit:
    """How an image becomes the model's input.

    Attributes:
      input_px: side of the model's input.
      method: ``resize`` scales the whole image to a square, by area averaging where both sides
        shrink and linearly otherwise. ``crop`` takes the middle, pixel by pixel; of an odd rest one
        pixel more is left out at the right and below.
    """

    input_px: int = in_plan()
    method: FitMethod = in_plan(default="resize", name="fit")

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return uint8 ``[input_px, input_px, 3]`` of an image ``[height, width, 3]``.

        Raises:
          InputError: ``too_small`` for an image from which the input cannot be cropped.
        """
        height, width = pixels.shape[:2]
        size = self.input_px
        if self.method == "resize":
            return resample(pixels, size, size)
        if min(height, width) < size:
            raise InputError(
                Kind.TOO_SMALL, f"{size} px cannot be cropped from {width} x {height} px"
            )
        top, left = (height - size) // 2, (width - size) // 2
        return pixels[top : top + size, left : left + size]
