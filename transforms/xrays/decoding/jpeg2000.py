"""JPEG 2000 in films: its headers are read, and its data measured, before a decoder sees them."""

from __future__ import annotations

import dataclasses
import struct

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

CODESTREAM = b"\xff\x4f\xff\x51"
# The signature box of a JP2 file (ITU-T T.800, I.5.1).
JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_START_OF_TILE, _END = b"\xff\x90", b"\xff\xd9"
_MOST_COMPONENTS = 4


@dataclasses.dataclass(frozen=True)
class Size:
    """What the SIZ segment declares.

    Attributes:
      width: columns in pixels.
      height: rows in pixels.
      components: how many there are.
      precision: bits of a sample of the first.
      signed: whether its samples are.
    """

    width: int
    height: int
    components: int
    precision: int
    signed: bool


def codestream(data: bytes) -> bytes:
    """Take the codestream out of the boxes of a JP2 file, where there are any.

    Raises:
      InputError: ``corrupt_image`` where there is no codestream, ``truncated_image`` where the data
        end before it.
    """
    if data.startswith(CODESTREAM):
        return data
    at = 0
    while at + 8 <= len(data) and data.startswith(JP2):
        length, kind = struct.unpack_from(">L4s", data, at)
        head = 8
        if length == 1 and at + 16 <= len(data):
            length, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        if kind == b"jp2c":
            return data[at + head :] if length == 0 else data[at + head : at + length]
        if length < head:
            break
        at += length
    if at >= len(data):
        raise InputError(Kind.TRUNCATED_IMAGE, "JPEG 2000: it is cut off before its codestream")
    raise InputError(Kind.CORRUPT_IMAGE, "JPEG 2000: it does not begin with its size")


def read_size(data: bytes) -> Size:
    """Read the size of a codestream.

    SIZ follows at once on SOC (ITU-T T.800, A.5.1): extent of the grid, offset of the image, tiles
    and their offset, number of components, and of each one its bits and its sampling.

    Raises:
      InputError: ``truncated_image`` where the data end in it, ``corrupt_image`` where it does not
        follow, or more than four components are declared, each of which would be given room.
    """
    if len(data) < 45 and data[:4] == CODESTREAM:
        raise InputError(Kind.TRUNCATED_IMAGE, "JPEG 2000: it is cut off in its header")
    if not data.startswith(CODESTREAM):
        raise InputError(Kind.CORRUPT_IMAGE, "JPEG 2000: it does not begin with its size")
    right, bottom, left, top, *_, components = struct.unpack_from(">8LH", data, 8)
    if components > _MOST_COMPONENTS:
        raise InputError(Kind.CORRUPT_IMAGE, f"JPEG 2000: {components} components are no film")
    depth = data[42]
    return Size(right - left, bottom - top, components, (depth & 0x7F) + 1, depth >= 0x80)


def whole(data: bytes) -> bytes:
    """Check that the tile-parts of a codestream are all there (ITU-T T.800, A.4.2).

    Returns:
      the codestream with an end marker, which some writers leave out and OpenJPEG asks for; what
      follows its last tile-part, such as padding, is left out.

    Raises:
      InputError: ``truncated_image``; ``corrupt_image`` where no tile-part is where one should be.
    """
    at, tile_parts = 2, 0
    while at < len(data):
        marker = data[at : at + 2]
        if tile_parts and marker != _START_OF_TILE:
            break  # the end, or padding
        if at + 12 > len(data):
            at = len(data) + 1
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == _START_OF_TILE:
            tile_parts += 1
            (length,) = struct.unpack_from(">L", data, at + 6)
            if length == 0:  # all the rest
                return data
            at += length
        elif marker[0] != 0xFF or length < 2:
            raise InputError(Kind.CORRUPT_IMAGE, "JPEG 2000: a tile-part is not where it should be")
        else:
            at += 2 + length
    if not tile_parts or at > len(data):
        raise InputError(Kind.TRUNCATED_IMAGE, "JPEG 2000: it is cut off before its end")
    return data[:at] + _END
