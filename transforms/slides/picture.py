"""The picture by which a person checks a slide: its tissue, its patches, and the failed ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.tissue.thumbnail import Thumbnail

# The longer side of a picture, about: it fits a screen, and single patches can be seen.
PICTURE_PX = 1400

# RGB; none of them is a colour of H&E or DAPI.
_TISSUE_COLOR = (0, 140, 70)
_PATCH_COLOR = (20, 90, 220)
_FAILED_COLOR = (230, 30, 20)
_PATCH_TINT = 0.12
# Without chroma subsampling, which would smear the thin coloured lines.
_JPEG_OPTIONS = [
    cv2.IMWRITE_JPEG_QUALITY,
    85,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A JPEG and where it lies on the slide.

    Attributes:
      jpeg: the file's content.
      x_level0: level-0 position of its left edge.
      y_level0: level-0 position of its top edge.
      scale: level-0 pixels per pixel of the picture.
    """

    jpeg: bytes
    x_level0: int
    y_level0: int
    scale: float


def draw_plan(
    thumbnail: Thumbnail,
    outline: Sequence[npt.NDArray[np.int32]],
    outline_scale: float,
    x_level0: npt.NDArray[np.int32],
    y_level0: npt.NDArray[np.int32],
    size_level0: float,
) -> Picture:
    """Draw the tissue's outline and the planned patches over a thumbnail.

    Args:
      thumbnail: of the slide.
      outline: contours of the tissue, int32 ``[k, 2]`` (x, y) each, in pixels of its own mask.
      outline_scale: pixels of the picture per pixel of that mask.
      x_level0: left edges of the patches.
      y_level0: top edges of the patches.
      size_level0: side of a patch.
    """
    longest = max(thumbnail.region.width, thumbnail.region.height)
    small = thumbnail.shrunk(longest / PICTURE_PX)
    factor = thumbnail.scale_x / small.scale_x
    picture = Picture(b"", small.region.x, small.region.y, small.scale_x)
    image = np.ascontiguousarray(small.rgb)
    tint = image.copy()
    for top_left, bottom_right in _boxes(picture, x_level0, y_level0, size_level0):
        cv2.rectangle(tint, top_left, bottom_right, _PATCH_COLOR, cv2.FILLED)
    cv2.addWeighted(tint, _PATCH_TINT, image, 1 - _PATCH_TINT, 0, dst=image)
    for top_left, bottom_right in _boxes(picture, x_level0, y_level0, size_level0):
        cv2.rectangle(image, top_left, bottom_right, _PATCH_COLOR, 1)
    contours = [
        np.rint((contour + 0.5) * outline_scale * factor - 0.5).astype(np.int32)
        for contour in outline
    ]
    cv2.polylines(image, contours, isClosed=True, color=_TISSUE_COLOR, thickness=2)
    return dataclasses.replace(picture, jpeg=_encode(image))


def mark_failed(
    picture: Picture,
    x_level0: npt.NDArray[np.integer],
    y_level0: npt.NDArray[np.integer],
    size_level0: float,
) -> bytes:
    """Return the JPEG of a picture with a red cross over every patch that could not be read."""
    encoded = np.frombuffer(picture.jpeg, np.uint8)
    image = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    for (left, top), (right, bottom) in _boxes(picture, x_level0, y_level0, size_level0):
        cv2.rectangle(image, (left, top), (right, bottom), _FAILED_COLOR, 2)
        cv2.line(image, (left, top), (right, bottom), _FAILED_COLOR, 2)
        cv2.line(image, (left, bottom), (right, top), _FAILED_COLOR, 2)
    return _encode(image)


def _boxes(
    picture: Picture,
    x_level0: npt.NDArray[np.integer],
    y_level0: npt.NDArray[np.integer],
    size_level0: float,
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    corners = np.stack([x_level0 - picture.x_level0, y_level0 - picture.y_level0], axis=1)
    first = np.rint(corners / picture.scale).astype(int)
    last = np.rint((corners + size_level0) / picture.scale).astype(int) - 1
    return [(tuple(a), tuple(b)) for a, b in zip(first.tolist(), last.tolist(), strict=True)]


def _encode(rgb: npt.NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", bgr, _JPEG_OPTIONS)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of {rgb.shape}")
    return bytes(encoded)
