"""From the bytes of a film to its pixels: JPEG and PNG here, DICOM next door.

Pillow reads headers and EXIF, and no pixels: of a PNG it skips checksums and fills missing rows
with black without a word. libpng (through imagecodecs) refuses both, as `jpeg` does for a JPEG.
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
from beamscope.transforms.xrays.decoding.jpeg import decode_jpeg, read_frame, with_8_bits
from beamscope.transforms.xrays.decoding.png import SIGNATURE, ends_early, exif_of

_JPEG = b"\xff\xd8\xff"
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<svg")
# What Pillow raises on damaged headers, chunks and data, beside OSError.
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError)

Grey = npt.NDArray[np.uint8]


def decode_film(data: bytes, settings: DecodeSettings) -> Film:
    """Decode a film by what it is, whatever its name says.

    Raises:
      InputError: ``not_a_film`` for another kind of file, ``corrupt_image`` for one that is damaged
        (and for one that a decoder would mend), ``truncated_image`` for one that is cut off,
        ``blank_image`` for one that ends as one grey, ``too_many_pixels``, ``multi_frame``,
        ``unsupported_image``, and what `decode_dicom` raises.
    """
    if data.startswith(_JPEG):
        film = Film(_decode_jpeg(data, settings), "jpeg")
    elif data.startswith(SIGNATURE):
        film = _decode_png(data, settings)
    elif is_dicom(data):
        film = decode_dicom(data, settings)
    else:
        raise InputError(Kind.NOT_A_FILM, f"{_describe(data)}, not a JPEG, PNG or DICOM film")
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
    header = _open(with_8_bits(data), "JPEG")
    grey = to_uint8(pixels, 0, (1 << frame.precision) - 1)
    return _upright(grey, _orientation(header, "JPEG"))


def _decode_png(data: bytes, settings: DecodeSettings) -> Film:
    try:
        header = _open(data, "PNG")
        settings.limits.check_pixels(*header.size)
        if frames := getattr(header, "n_frames", 1) - 1:
            raise InputError(Kind.MULTI_FRAME, f"PNG: {frames + 1} frames, a film has one")
        orientation = _orientation(_open(exif_of(data), "PNG"), "PNG")
        values = imagecodecs.png_decode(data)
        # What is missing behind the pixels may be the EXIF that turns them.
        if ends_early(data):
            raise _cut_png()
    except InputError as error:
        cut = error.kind is Kind.CORRUPT_IMAGE and ends_early(data)
        raise (_cut_png() if cut else error) from None
    except (imagecodecs.PngError, ValueError) as error:
        if ends_early(data):
            raise _cut_png() from None
        # The text of libpng may hold a chunk's name, which need not be text.
        reason = one_line(error) if isinstance(error, imagecodecs.PngError) else "an unknown chunk"
        raise InputError(Kind.CORRUPT_IMAGE, f"PNG: {reason}") from None
    stretched = settings.window == "minmax" and values.dtype.itemsize > 1
    pixels = _upright(_to_grey(values, settings), orientation)
    return Film(pixels, "png", grey_scale="minmax" if stretched else None)


def _cut_png() -> InputError:
    return InputError(Kind.TRUNCATED_IMAGE, "PNG: it is cut off before its end")


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
