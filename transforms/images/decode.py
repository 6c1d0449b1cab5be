"""From the bytes of an image file to RGB, as it is: no film logic, no colour management."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from beamscope.transforms.image_files.headers import (
    JPEG_START,
    describe,
    open_header,
    orientation_of,
)
from beamscope.transforms.image_files.jpeg import decode_jpeg, read_frame
from beamscope.transforms.image_files.pixels import composite, upright
from beamscope.transforms.image_files.png import SIGNATURE, decode_png
from beamscope.transforms.image_files.strips import in_strips
from beamscope.transforms.image_files.tiff import STARTS, decode_tiff
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import Limits

Origin = Literal["jpeg", "png", "tiff"]

# Behind what is transparent: the background of slides.
_WHITE = (255, 255, 255)
# From 16 bits to 8: 65535 becomes 255.
_TO_8_BITS = 257


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image.

    Attributes:
      pixels: uint8 RGB ``[height, width, 3]``, upright.
      origin: the format, by the content.
    """

    pixels: npt.NDArray[np.uint8]
    origin: Origin


def decode_image(data: bytes, limits: Limits) -> Picture:
    """Decode an image by what it is, whatever its name says.

    Grey images have three equal channels, palettes become colours, transparent pixels lie on white,
    16 bits are divided by 257, EXIF's orientation is applied, and ICC profiles are ignored.

    Raises:
      InputError: ``not_an_image`` for another kind of file, ``corrupt_image`` for one that is
        damaged (and for one that a decoder would mend), ``truncated_image``, ``too_many_pixels``,
        ``multi_frame``, ``unsupported_image``.
    """
    if data.startswith(JPEG_START):
        return Picture(_decode_jpeg(data, limits), "jpeg")
    if data.startswith(SIGNATURE):
        values, orientation = decode_png(data, limits.check_pixels, "image")
        return Picture(upright(to_rgb(values), orientation), "png")
    if data.startswith(STARTS):
        values, orientation = decode_tiff(data, limits.check_pixels, "image")
        return Picture(upright(to_rgb(values), orientation), "tiff")
    raise InputError(Kind.NOT_AN_IMAGE, f"{describe(data)}, not a JPEG, PNG or TIFF image")


def to_rgb(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return uint8 RGB of uint8 or uint16 pixels with 1 to 4 channels (the last of 2 or 4: alpha).

    Args:
      values: ``[height, width]`` or ``[height, width, channels]``.
    """
    return in_strips(_to_rgb, values)


def _to_rgb(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if values.dtype != np.uint8:
        values = np.rint(values / _TO_8_BITS).astype(np.uint8)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.shape[2] in (1, 2):
        values = np.concatenate([np.repeat(values[:, :, :1], 3, axis=2), values[:, :, 1:]], axis=2)
    if values.shape[2] == 4:
        values = composite(values, _WHITE)
    return np.ascontiguousarray(values)


def _decode_jpeg(data: bytes, limits: Limits) -> npt.NDArray[np.uint8]:
    frame = read_frame(data)
    limits.check_pixels(frame.width, frame.height)
    if len(frame.components) not in (1, 3):
        what = "CMYK" if len(frame.components) == 4 else f"{len(frame.components)}-component"
        raise InputError(Kind.UNSUPPORTED_IMAGE, f"JPEG: {what} pixels are not read; save as RGB")
    if frame.precision != 8:
        raise InputError(
            Kind.UNSUPPORTED_IMAGE, f"JPEG: {frame.precision} bits a sample are not read"
        )
    pixels, _ = decode_jpeg(data, output="RGB")
    return upright(pixels.astype(np.uint8), orientation_of(open_header(data, "JPEG"), "JPEG"))
