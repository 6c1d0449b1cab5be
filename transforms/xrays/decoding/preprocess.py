"""From a film to the pixels that a model is given: crop, size and grey levels.

``remedis`` is the evaluation of the REMEDIS models, which is SimCLR's: a central square of 0.875 of
the shorter side, resized as TensorFlow 1 resized (`tf.compat.v1.image.resize_bicubic`). No image
library samples like that (corners without half-pixel centres, cubic A = -0.75 looked up in 1,024
steps): OpenCV's remap has 32 steps. So it is computed here, to the last bit as TensorFlow does, at
1.3 to 2.3 times the speed of its op on films of 1,400 to 2,600 px, and without TensorFlow in the
process that reads.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.fingerprints import in_embedding
from beamscope.transforms.image_files.pixels import resample

Grey = npt.NDArray[np.uint8]
PreprocessKind = Literal["remedis", "resize", "pad"]

# SimCLR's CROP_PROPORTION: 224 of 256 pixels.
CROP_PROPORTION = 0.875
# Keys' cubic, as tensorflow/core/kernels/image/resize_bicubic_op.cc has it without half-pixel
# centres, and the steps of its table.
_CUBIC_A = -0.75
_TABLE_STEPS = 1024


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """How a film becomes square, and whether its histogram is equalised before that.

    Plans do not depend on it.

    Attributes:
      size: side of the result in pixels.
      kind: ``remedis`` crops and resizes as the REMEDIS models were evaluated; ``resize`` stretches
        the whole film to a square; ``pad`` keeps its proportions on a black square.
      equalize: ``auto`` equalises what comes from a DICOM and leaves JPEG and PNG, which the
        public collections have equalised already; or ``always``, or ``never``.
    """

    size: int = in_embedding()
    kind: PreprocessKind = in_embedding(default="remedis", name="preprocess")
    equalize: Literal["auto", "always", "never"] = in_embedding(default="auto")

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is {self.size}, and must be at least 1 px")

    def __str__(self) -> str:
        """Return what is done, for the terminal."""
        return f"prepared at {self.size} px (--preprocess {self.kind})"

    def apply(self, film: Grey, *, from_dicom: bool) -> Grey:
        """Make the model's input of a film.

        Args:
          film: uint8 grey ``[height, width]``.
          from_dicom: whether it was decoded from a DICOM file.

        Returns:
          uint8 RGB ``[size, size, 3]``, its channels equal; the cubic's overshoot is clipped, and
          halves are rounded to even.
        """
        if self.equalize == "always" or (self.equalize == "auto" and from_dicom):
            film = cv2.equalizeHist(film)
        if self.kind == "remedis":
            grey = resize_bicubic_tf1(central_crop(film), self.size)
            square = np.rint(np.clip(grey, 0, 255)).astype(np.uint8)
        elif self.kind == "resize":
            square = resample(film, self.size, self.size)
        else:
            square = _pad(film, self.size)
        return np.repeat(square[:, :, None], 3, axis=2)


def central_crop(film: Grey, proportion: float = CROP_PROPORTION) -> Grey:
    """The central square of `proportion` of the shorter side, as SimCLR's `center_crop` cuts it.

    Of a film that is not square, that is all of the model's field: the longer side loses more. The
    side is rounded to even halves, an odd margin is larger at the top and left.
    """
    height, width = film.shape
    # SimCLR multiplies in float32, which decides the halves.
    side = int(np.rint(np.float32(proportion) * np.float32(min(height, width))))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    return film[top : top + side, left : left + side]


def resize_bicubic_tf1(image: Grey, size: int) -> npt.NDArray[np.float32]:
    """Resize a grey image to a square as `tf.compat.v1.image.resize_bicubic` does.

    Args:
      image: uint8 ``[height, width]``.
      size: side of the result in pixels.

    Returns:
      float32 ``[size, size]`` in the range of the input, which the cubic may overshoot.
    """
    rows, row_weights = _taps(image.shape[0], size)
    columns, column_weights = _taps(image.shape[1], size)
    taken = np.zeros((size, image.shape[1]), np.float32)
    for tap in range(4):
        taken += row_weights[:, tap, None] * image[rows[:, tap]]
    result = np.zeros((size, size), np.float32)
    for tap in range(4):
        result += column_weights[:, tap] * taken[:, columns[:, tap]]
    return result


@functools.lru_cache(maxsize=1024)
def _taps(length: int, size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Which four pixels make each pixel of the result, and their weights: both ``[size, 4]``."""
    place = np.arange(size, dtype=np.float32) * (np.float32(length) / np.float32(size))
    first = np.floor(place)
    step = np.rint((place - first) * np.float32(_TABLE_STEPS)) / _TABLE_STEPS
    distances = np.stack([1 + step, step, 1 - step, 2 - step], axis=1)
    indices = first.astype(np.intp)[:, None] + np.arange(-1, 3)
    return np.clip(indices, 0, length - 1), _keys_cubic(distances).astype(np.float32)


def _keys_cubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic convolution kernel (IEEE TASSP 29, 1981) at distances of 0 to 2 pixels."""
    a = _CUBIC_A
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, far)


def _pad(film: Grey, size: int) -> Grey:
    """Fit a film into a black square, centred; an odd margin is larger at the bottom and right."""
    scale = size / max(film.shape)
    height, width = (max(1, round(side * scale)) for side in film.shape)
    square = np.zeros((size, size), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = resample(film, width, height)
    return square
