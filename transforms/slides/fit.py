"""Fit patches to the size of a model's input."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Executor
from typing import Literal

import numpy as np
import numpy.typing as npt

from beamscope.transforms.fingerprints import in_embedding, in_none
from beamscope.transforms.image_files.resizing import RESIZE_METHODS, ResizeMethod, resized

FitMethod = ResizeMethod | Literal["crop"]
# crop: the middle of a patch, pixel by pixel; the others: the whole patch at another size.
FIT_METHODS: tuple[FitMethod, ...] = ("resize", "crop", *RESIZE_METHODS[1:])


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a patch of another size becomes the model's input. Plans do not depend on it.

    Attributes:
      method: one of `FIT_METHODS`. ``crop`` takes the middle; of an odd rest one pixel more is left
        out at the right and below. The others scale, see `RESIZE_METHODS`.
      input_px: side of the model's input; the model's own fingerprint holds it too.
    """

    method: FitMethod = in_embedding(name="fit")
    input_px: int = in_none()

    def apply(
        self, pixels: npt.NDArray[np.uint8], threads: Executor | None = None
    ) -> npt.NDArray[np.uint8]:
        """Return uint8 ``[n, input_px, input_px, 3]`` of patches ``[n, size, size, 3]``.

        Args:
          pixels: the patches.
          threads: where patches are scaled side by side; None to scale one after the other.

        Raises:
          ValueError: patches that are smaller than what is to be cropped from them.
        """
        n, side = pixels.shape[:2]
        size = self.input_px
        method = self.method
        if method == "crop":
            if side < size:
                raise ValueError(f"no {size} px can be cropped from patches of {side} px")
            first = (side - size) // 2
            return np.ascontiguousarray(pixels[:, first : first + size, first : first + size])
        fitted = np.empty((n, size, size, 3), np.uint8)

        def scale(place: int) -> None:
            fitted[place] = resized(pixels[place], size, size, method)

        for _ in (threads.map if threads else map)(scale, range(n)):
            pass
        return fitted
