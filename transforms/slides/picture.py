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

# Below this median a slide counts as dark: fluorescence, where dark lines would vanish.
_DARK = 90
_PATCH_TINT = 0.12
# From this side on, in pixels of the picture, overlapping patches are drawn a little smaller, so
# that each can be followed.
_INSET_FROM = 8
# Without chroma subsampling, which would smear the thin coloured lines.
_JPEG_OPTIONS = [
    cv2.IMWRITE_JPEG_QUALITY,
    85,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]


@dataclasses.dataclass(frozen=True)
class Colors:
    """The colours of a picture, RGB: none of them is a colour of the slide below.

    Attributes:
      tissue: the outline of the tissue.
      patch: the edge of a patch.
      other: the edge of every other patch, where they overlap.
      failed: the cross over a patch that could not be read.
    """

    tissue: tuple[int, int, int]
    patch: tuple[int, int, int]
    other: tuple[int, int, int]
    failed: tuple[int, int, int]


# On H&E and other bright slides, and on dark ones such as DAPI.
_ON_BRIGHT = Colors((0, 140, 70), (20, 90, 220), (235, 120, 0), (230, 30, 20))
_ON_DARK = Colors((90, 235, 120), (70, 215, 255), (255, 190, 60), (255, 70, 60))


@dataclasses.dataclass(frozen=True)
class Picture:
    """A JPEG and where it lies on the slide.

    Attributes:
      jpeg: the file's content.
      x_level0: level-0 position of its left edge.
      y_level0: level-0 position of its top edge.
      scale: level-0 pixels per pixel of the picture.
      dark: whether the slide is dark, so that it is drawn on in bright colours.
      overlapping: whether its patches overlap, and are drawn in two colours.
    """

    jpeg: bytes
    x_level0: int
    y_level0: int
    scale: float
    dark: bool = False
    overlapping: bool = False

    @property
    def colors(self) -> Colors:
        """Return the colours that show on this slide."""
        return _ON_DARK if self.dark else _ON_BRIGHT

    def decode(self) -> npt.NDArray[np.uint8]:
        """Return the pixels, uint8 RGB ``[h, w, 3]``."""
        encoded = np.frombuffer(self.jpeg, np.uint8)
        image = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return np.asarray(image, np.uint8)


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
    image = np.ascontiguousarray(small.rgb)
    columns, rows = _steps(x_level0, size_level0), _steps(y_level0, size_level0)
    picture = Picture(
        b"",
        small.region.x,
        small.region.y,
        small.scale_x,
        dark=bool(np.median(image) < _DARK),
        overlapping=columns is not None or rows is not None,
    )
    colors = picture.colors
    boxes = _boxes(picture, x_level0, y_level0, size_level0)
    tint = image.copy()
    for top_left, bottom_right in boxes:
        cv2.rectangle(tint, top_left, bottom_right, colors.patch, cv2.FILLED)
    cv2.addWeighted(tint, _PATCH_TINT, image, 1 - _PATCH_TINT, 0, dst=image)
    odd = np.zeros(len(boxes), int)
    for steps in (columns, rows):
        odd = odd if steps is None else odd + steps
    inset = int(picture.overlapping and size_level0 / picture.scale >= _INSET_FROM)
    for place, (top_left, bottom_right) in enumerate(boxes):
        other = odd[place] % 2
        shift = inset * (1 + other)
        (left, top), (right, bottom) = top_left, bottom_right
        cv2.rectangle(
            image,
            (left + shift, top + shift),
            (right - shift, bottom - shift),
            colors.other if other else colors.patch,
            1,
        )
    contours = [
        np.rint((contour + 0.5) * outline_scale * factor - 0.5).astype(np.int32)
        for contour in outline
    ]
    cv2.polylines(image, contours, isClosed=True, color=colors.tissue, thickness=2)
    return dataclasses.replace(picture, jpeg=encode(image))


def mark_failed(
    picture: Picture,
    x_level0: npt.NDArray[np.integer],
    y_level0: npt.NDArray[np.integer],
    size_level0: float,
) -> bytes:
    """Return the JPEG of a picture with a red cross over every patch that could not be read."""
    image = picture.decode()
    for (left, top), (right, bottom) in _boxes(picture, x_level0, y_level0, size_level0):
        cv2.rectangle(image, (left, top), (right, bottom), picture.colors.failed, 2)
        cv2.line(image, (left, top), (right, bottom), picture.colors.failed, 2)
        cv2.line(image, (left, bottom), (right, top), picture.colors.failed, 2)
    return encode(image)


def _steps(
    edges_level0: npt.NDArray[np.integer], size_level0: float
) -> npt.NDArray[np.int64] | None:
    """Return the number of each patch's column or row; None where these do not overlap."""
    there = np.unique(edges_level0)
    if len(there) < 2 or np.diff(there).min() >= size_level0 - 1:
        return None
    return np.searchsorted(there, edges_level0)


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


def encode(rgb: npt.NDArray[np.uint8]) -> bytes:
    """Return pixels ``[h, w, 3]`` as a JPEG.

    Raises:
      RuntimeError: OpenCV could not encode them.
    """
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", bgr, _JPEG_OPTIONS)
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of {rgb.shape}")
    return bytes(encoded)
