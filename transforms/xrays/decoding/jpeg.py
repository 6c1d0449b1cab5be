"""JPEG in films: decoded without mending, and measured before it is decoded.

simplejpeg decodes, because libjpeg mends damage and only warns of it (premature end, corrupt data):
of the usual decoders it alone makes the warning an error. OpenCV and GDCM print it, Pillow and
imagecodecs drop it.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import simplejpeg

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line

# Start-of-frame markers (ITU-T T.81, table B.1), and JPEG-LS's (T.87): all but DHT, JPG and DAC.
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7})
_START_OF_SCAN = 0xDA
_MOST_COMPONENTS = 4


def decode_jpeg(data: bytes) -> npt.NDArray[np.uint8]:
    """The luminance, uint8 ``[height, width]``, of a baseline or progressive 8-bit JPEG.

    Raises:
      InputError: ``corrupt_image``, where libjpeg would mend it too.
    """
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "GRAY", strict=True)[:, :, 0])
    except ValueError as error:
        raise InputError(Kind.CORRUPT_IMAGE, f"JPEG: {one_line(error)}") from None


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height that the frame header of a JPEG (lossless and JPEG-LS too) declares.

    Raises:
      InputError: ``corrupt_image`` where there is none.
    """
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        if marker == _START_OF_SCAN:
            break
        # 0xFF may fill the space between segments.
        place += 1 if marker == 0xFF else 2 + length
    raise InputError(Kind.CORRUPT_IMAGE, "JPEG: it has no frame header")


def jpeg2000_size(data: bytes) -> tuple[int, int]:
    """Width and height that a JPEG 2000 codestream declares.

    SIZ follows at once on SOC (ITU-T T.800, A.5.1): extent of the grid, offset of the image, tiles
    and their offset, number of components.

    Raises:
      InputError: ``corrupt_image`` where it does not, or more than four components are declared,
        each of which would be given room.
    """
    if len(data) < 42 or not data.startswith(b"\xff\x4f\xff\x51"):
        raise InputError(Kind.CORRUPT_IMAGE, "JPEG 2000: it does not begin with its size")
    right, bottom, left, top, *_, components = struct.unpack_from(">8LH", data, 8)
    if components > _MOST_COMPONENTS:
        raise InputError(Kind.CORRUPT_IMAGE, f"JPEG 2000: {components} components are no film")
    return right - left, bottom - top
