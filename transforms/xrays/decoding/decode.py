"""From the bytes of a film to its pixels: JPEG and PNG here, DICOM next door.

What a decoder would mend or fill in silently is refused; `image_files` has the decoders.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from beamscope.transforms.image_files.headers import (
    JPEG_START,
    describe,
    open_header,
    orientation_of,
)
from beamscope.transforms.image_files.jpeg import decode_jpeg, read_frame, with_8_bits
from beamscope.transforms.image_files.pixels import upright
from beamscope.transforms.image_files.png import SIGNATURE, decode_png
from beamscope.transforms.image_files.strips import in_strips
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.decoding.dicom import decode_dicom, is_dicom
from beamscope.transforms.xrays.decoding.film import DecodeSettings, Film, luminance, to_uint8

Grey = npt.NDArray[np.uint8]


def decode_film(data: bytes, settings: DecodeSettings) -> Film:
    """Decode a film by what it is, whatever its name says.

    Raises:
      InputError: ``not_a_film`` for another kind of file, ``corrupt_image`` for one that is damaged
        (and for one that a decoder would mend), ``truncated_image`` for one that is cut off,
        ``blank_image`` for one that ends as one grey, ``too_many_pixels``, ``multi_frame``,
        ``unsupported_image``, and what `decode_dicom` raises.
    """
    if data.startswith(JPEG_START):
        film = Film(_decode_jpeg(data, settings), "jpeg")
    elif data.startswith(SIGNATURE):
        film = _decode_png(data, settings)
    elif is_dicom(data):
        film = decode_dicom(data, settings)
    else:
        raise InputError(Kind.NOT_A_FILM, f"{describe(data)}, not a JPEG, PNG or DICOM film")
    if film.pixels.min() == film.pixels.max():
        raise InputError(Kind.BLANK_IMAGE, f"{film.origin}: all of the film is one grey")
    return film


def _decode_jpeg(data: bytes, settings: DecodeSettings) -> Grey:
    frame = read_frame(data)
    settings.limits.check_pixels(frame.width, frame.height)
    if len(frame.components) not in (1, 3):
        what = "CMYK" if len(frame.components) == 4 else f"{len(frame.components)}-component"
        raise InputError(Kind.UNSUPPORTED_IMAGE, f"JPEG: {what} pixels are no film")
    pixels, _ = decode_jpeg(data)
    # Pillow reads no more than the headers, for EXIF, and only those of 8 bits a sample.
    header = open_header(with_8_bits(data), "JPEG")
    grey = to_uint8(pixels, 0, (1 << frame.precision) - 1)
    return upright(grey, orientation_of(header, "JPEG"))


def _decode_png(data: bytes, settings: DecodeSettings) -> Film:
    values, orientation = decode_png(data, settings.limits.check_pixels, "film")
    stretched = settings.window == "minmax" and values.dtype.itemsize > 1
    pixels = upright(_to_grey(values, settings), orientation)
    return Film(pixels, "png", grey_scale="minmax" if stretched else None)


def _to_grey(values: npt.NDArray[Any], settings: DecodeSettings) -> Grey:
    """Luminance in 8 bits, over black where it is transparent, like the margins of a film."""
    white = int(np.iinfo(values.dtype).max)
    if values.ndim == 3:
        values = in_strips(functools.partial(_opaque_luminance, white=white), values)
    if settings.window == "minmax" and white > 255:
        return to_uint8(values, float(values.min()), float(values.max()))
    return to_uint8(values, 0, white)


def _opaque_luminance(values: npt.NDArray[Any], white: int) -> npt.NDArray[Any]:
    if values.shape[2] in (2, 4):
        values = values[:, :, :-1] * (values[:, :, -1:] / white)
    return values[:, :, 0] if values.shape[2] == 1 else luminance(values)
