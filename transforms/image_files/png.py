"""PNG: decoded strictly, with the chunks that say how it is to be turned.

Pillow stops at the pixels, and would have to decode them to find the EXIF that some programs put
behind them (exiftool does). So the chunks that may hold it are moved into a picture of one pixel,
which Pillow reads whole.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import imagecodecs
import numpy.typing as npt

from beamscope.transforms.image_files.headers import open_header, orientation_of
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# EXIF as it is, and as text: ImageMagick's raw profile and Adobe's XMP.
_EXIF, _TEXTS = b"eXIf", (b"tEXt", b"zTXt", b"iTXt")
_END = b"IEND"


def decode_png(
    data: bytes, check_pixels: Callable[[int, int], None], noun: str
) -> tuple[npt.NDArray[Any], int]:
    """Decode a PNG; palettes become colours, and what is transparent by a palette gets an alpha.

    Pillow reads the header and EXIF, and no pixels: it skips checksums and fills missing rows with
    black without a word. libpng (through imagecodecs) refuses both.

    Args:
      data: the whole file.
      check_pixels: raises where width and height are too large.
      noun: for the image in messages, such as ``film``.

    Returns:
      uint8 or uint16 ``[height, width]`` or ``[height, width, channels]`` as it is stored, and
      EXIF's orientation.

    Raises:
      InputError: ``corrupt_image``, ``truncated_image``, ``multi_frame``, ``too_many_pixels``.
    """
    try:
        header = open_header(data, "PNG")
        check_pixels(*header.size)
        if frames := getattr(header, "n_frames", 1) - 1:
            raise InputError(Kind.MULTI_FRAME, f"PNG: {frames + 1} frames, not one {noun}")
        orientation = orientation_of(open_header(exif_of(data), "PNG"), "PNG")
        values = imagecodecs.png_decode(data)
        # What is missing behind the pixels may be the EXIF that turns them.
        if ends_early(data):
            raise _cut()
    except InputError as error:
        cut = error.kind is Kind.CORRUPT_IMAGE and ends_early(data)
        raise (_cut() if cut else error) from None
    except (imagecodecs.PngError, ValueError) as error:
        if ends_early(data):
            raise _cut() from None
        # The text of libpng may hold a chunk's name, which need not be text.
        reason = one_line(error) if isinstance(error, imagecodecs.PngError) else "an unknown chunk"
        raise InputError(Kind.CORRUPT_IMAGE, f"PNG: {reason}") from None
    return values, orientation


def _cut() -> InputError:
    return InputError(Kind.TRUNCATED_IMAGE, "PNG: it is cut off before its end")


def ends_early(data: bytes) -> bool:
    """Whether the data end before the last chunk."""
    last, end = b"", len(SIGNATURE)
    for name, start, length in _chunks(data):
        last, end = name, start + length + 4
    return last != _END or end > len(data)


def exif_of(data: bytes) -> bytes:
    """Make a PNG of one pixel that has the EXIF and the texts of another.

    Raises:
      InputError: ``corrupt_image`` for two eXIf chunks that differ: the format allows for one.
    """
    kept: dict[bytes, None] = {}
    exifs = set()
    for name, start, length in _chunks(data):
        if name == _EXIF:
            exifs.add(data[start : start + length])
        if name == _EXIF or name in _TEXTS:
            kept[data[start - 8 : start + length + 4]] = None
    if len(exifs) > 1:
        raise InputError(Kind.CORRUPT_IMAGE, "PNG: it has two eXIf chunks, which differ")
    head = _chunk(b"IHDR", struct.pack(">LLBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"".join(
        [SIGNATURE, head, *kept, _chunk(b"IDAT", zlib.compress(bytes(2))), _chunk(_END, b"")]
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, and where its data begin and how long they are."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">L4s", data, at)
        yield name, at + 8, length
        if name == _END:
            return
        at += 12 + length


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
