"""Headers and EXIF of image files, by Pillow, which decodes no pixels here."""

from __future__ import annotations

import io

from PIL import ExifTags, Image, UnidentifiedImageError

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

JPEG_START = b"\xff\xd8\xff"
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<svg")
# What Pillow raises on damaged headers, chunks and data, beside OSError.
_PILLOW_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError)


def open_header(data: bytes, kind: str) -> Image.Image:
    """Read the header of an image file.

    Args:
      data: the whole file.
      kind: Pillow's name of the format, such as ``PNG``.

    Raises:
      InputError: ``corrupt_image``, ``too_many_pixels``.
    """
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


def orientation_of(image: Image.Image, kind: str) -> int:
    """Return EXIF's orientation; 1 where there is none.

    Raises:
      InputError: ``corrupt_image`` where EXIF cannot be read.
    """
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (*_PILLOW_ERRORS, TypeError, RuntimeError) as error:
        raise InputError(
            Kind.CORRUPT_IMAGE, f"{kind}: EXIF cannot be read ({type(error).__name__})"
        ) from None


def describe(data: bytes) -> str:
    """Return what a file is that is no image, for a message."""
    if not data:
        return "an empty file"
    head = data[:256].lstrip().lower()
    if head.startswith(_MARKUP):
        return "a page of markup"
    if head.startswith(b"\x89png"):
        return "a PNG whose line ends were changed in transfer"
    return "a file of another kind"
