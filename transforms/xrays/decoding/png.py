"""The chunks of a PNG: whether they are all there, and those that say how it is to be turned.

Pillow stops at the pixels, and would have to decode them to find the EXIF that some programs put
behind them (exiftool does). So the chunks that may hold it are moved into a picture of one pixel,
which Pillow reads whole.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# EXIF as it is, and as text: ImageMagick's raw profile and Adobe's XMP.
_EXIF, _TEXTS = b"eXIf", (b"tEXt", b"zTXt", b"iTXt")
_END = b"IEND"


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
