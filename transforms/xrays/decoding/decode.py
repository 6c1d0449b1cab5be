"""From the bytes of a film to its pixels: JPEG and PNG here, DICOM next door.

Pillow reads headers, and no pixels: of a PNG it skips checksums and fills missing rows with black
without a word. libpng (through imagecodecs) refuses both, as simplejpeg does for a JPEG.
"""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.xrays.decoding.dicom import decode_dicom, is_dicom
from beamscope.transforms.xrays.decoding.film import DecodeSettings, Film, luminance, to_uint8
from beamscope.transforms.xrays.decoding.jpeg import decode_jpeg

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<svg")
# What Pillow raises on damaged headers, chunks and data, beside OSError.
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError)

Grey = npt.NDArray[np.uint8]


def decode_film(data: bytes, settings: DecodeSettings) -> Film:
    """Decode a film by what it is, whatever its name says.

    Raises:
      InputError: ``not_a_film`` for another kind of file, ``corrupt_image`` for one that is damaged
        (and for one that a decoder would mend), ``too_many_pixels``, ``multi_frame``,
        ``unsupported_image``, and what `decode_dicom` raises.
    """
    if data.startswith(_JPEG):
        return Film(_decode_jpeg(data, settings), "jpeg")
    if data.startswith(_PNG):
        return Film(_decode_png(data, settings), "png")
    if is_dicom(data):
        return decode_dicom(data, settings)
    raise InputError(Kind.NOT_A_FILM, f"{_describe(data)}, not a JPEG, PNG or DICOM film")


def _decode_jpeg(data: bytes, settings: DecodeSettings) -> Grey:
    # Pillow reads no more than the headers: sizes before there is room made for them.
    header = _open(data, "JPEG")
    settings.limits.check_pixels(*header.size)
    if header.mode not in ("L", "RGB"):
        raise InputError(Kind.UNSUPPORTED_IMAGE, f"JPEG: {header.mode} pixels are no film")
    return _upright(decode_jpeg(data), _orientation(header, "JPEG"))


def _decode_png(data: bytes, settings: DecodeSettings) -> Grey:
    header = _open(data, "PNG")
    settings.limits.check_pixels(*header.size)
    if frames := getattr(header, "n_frames", 1) - 1:
        raise InputError(Kind.MULTI_FRAME, f"PNG: {frames + 1} frames, a film has one")
    try:
        values = imagecodecs.png_decode(data)
    except imagecodecs.PngError as error:
        raise InputError(Kind.CORRUPT_IMAGE, f"PNG: {one_line(error)}") from None
    # Without EXIF ahead of its pixels Pillow would decode them in search of it.
    orientation = _orientation(header, "PNG") if "exif" in header.info else 1
    return _upright(_to_grey(values, settings), orientation)


def _to_grey(values: npt.NDArray[Any], settings: DecodeSettings) -> Grey:
    """Luminance in 8 bits, over black where it is transparent, like the margins of a film."""
    white = int(np.iinfo(values.dtype).max)
    if values.ndim == 3:
        if values.shape[2] in (2, 4):
            values = values[:, :, :-1] * (values[:, :, -1:] / white)
        values = values[:, :, 0] if values.shape[2] == 1 else luminance(values)
    if settings.window == "minmax" and white > 255:
        return to_uint8(values, float(values.min()), float(values.max()))
    return to_uint8(values, 0, white)


def _open(data: bytes, kind: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=[kind])
    except Image.DecompressionBombError:
        raise InputError(Kind.TOO_MANY_PIXELS, f"{kind}: more pixels than are allowed") from None
    except UnidentifiedImageError:
        raise InputError(
            Kind.CORRUPT_IMAGE, f"{kind}: its header is damaged, or of a kind that is not decoded"
        ) from None
    except _PILLOW_ERRORS as error:
        raise InputError(Kind.CORRUPT_IMAGE, f"{kind}: {one_line(error)}") from None


def _orientation(image: Image.Image, kind: str) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (*_PILLOW_ERRORS, TypeError, RuntimeError) as error:
        raise InputError(
            Kind.CORRUPT_IMAGE, f"{kind}: EXIF cannot be read ({type(error).__name__})"
        ) from None


def _upright(pixels: Grey, orientation: int) -> Grey:
    """Undo what EXIF's orientation, 1 to 8, says the camera did; other values say nothing."""
    if 5 <= orientation <= 8:
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _describe(data: bytes) -> str:
    if not data:
        return "an empty file"
    head = data[:256].lstrip().lower()
    if head.startswith(_MARKUP):
        return "a page of markup"
    if head.startswith(b"\x89png"):
        return "a PNG whose line ends were changed in transfer"
    return "a file of another kind"
