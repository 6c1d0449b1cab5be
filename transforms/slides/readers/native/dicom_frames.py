"""Where the frames of a DICOM file lie, and what is in them (PS3.5, annex A.4).

Encapsulated pixel data is a run of items: a table of offsets, which may be empty, then the frames
in their order. A frame is one item as a rule, and may be several.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from beamscope.transforms.slides.readers.native.jp2k import Jpeg2000Decoder
from beamscope.transforms.slides.readers.native.jpeg import TileDecoder, TileError
from beamscope.transforms.slides.readers.native.properties import UnservedError
from beamscope.transforms.storage.byte_source import ByteSource

# An element (7FE0,0010) of undefined length, explicit little endian: 12 bytes before its items.
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
_UNDEFINED = 0xFFFFFFFF
_ELEMENT_BYTES = 12
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_HEADER_BYTES = 8
# The end of a JPEG or JPEG 2000 image, before the zero that makes an item even.
_PADDED_END = b"\xff\xd9\0"
# Without a table of offsets all of a file has to be read to find its frames; of a remote one that
# is larger than this, a copy is no dearer.
_MOST_SEARCHED = 32 << 20


def find_frames(
    source: ByteSource, at: int, count: int, extended: bytes | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return where each frame begins in a file, and its bytes; the headers of items included.

    Args:
      source: the file.
      at: where the element of the pixel data begins.
      count: of frames.
      extended: value of ExtendedOffsetTable; None where there is none.

    Returns:
      int64 ``[count]`` twice: offsets and lengths.

    Raises:
      UnservedError: the pixel data is not encapsulated, damaged, or without a table of offsets in
        a large remote file.
      InputError: the bytes cannot be had.
    """
    head = source.read(at, _ELEMENT_BYTES + _HEADER_BYTES)
    if len(head) < _ELEMENT_BYTES + _HEADER_BYTES or not head.startswith(_PIXEL_DATA):
        raise UnservedError("no pixel data")
    (length,) = struct.unpack_from("<I", head, 8)
    tag, table_bytes = head[12:16], struct.unpack_from("<I", head, 16)[0]
    if length != _UNDEFINED or tag != _ITEM:
        raise UnservedError("pixel data that is not encapsulated")
    first = at + len(head) + table_bytes
    if extended is not None:
        _check_length(len(extended), 8, count)
        table = np.frombuffer(extended, "<u8").astype(np.int64)
    elif table_bytes:
        _check_length(table_bytes, 4, count)
        own = source.read(at + len(head), table_bytes)
        if len(own) < table_bytes:
            raise UnservedError("its table of offsets is cut off")
        table = np.frombuffer(own, "<u4").astype(np.int64)
    elif count == 1:
        table = np.zeros(1, np.int64)
    else:
        return _searched(source, first, count)
    if table[0] or (np.diff(table) < _HEADER_BYTES).any():
        raise UnservedError("a table of offsets that is out of order")
    starts = first + table
    ends = np.append(starts[1:], _last_end(source, int(starts[-1])))
    return starts, ends - starts


def frame_of(data: bytes) -> bytes:
    """Return a frame from the items that it lies in, without the zero that makes it even.

    Raises:
      TileError: they are damaged.
    """
    parts = []
    at = 0
    while at < len(data) and data[at : at + 4] != _END:
        if data[at : at + 4] != _ITEM or at + _HEADER_BYTES > len(data):
            raise TileError("a frame's item is damaged")
        begin = at + _HEADER_BYTES
        at = begin + int.from_bytes(data[at + 4 : begin], "little")
        if at > len(data):
            raise TileError("a frame is longer than its place")
        parts.append(data[begin:at])
    frame = parts[0] if len(parts) == 1 else b"".join(parts)
    return frame[:-1] if frame.endswith(_PADDED_END) else frame


class FrameDecoder:
    """A decoder of frames in their items.

    Args:
      decoder: of what is in them.

    Attributes:
      bytes_a_pixel: of memory while a frame is decoded.
      is_jpeg: whether `stream` gives a JPEG.
    """

    def __init__(self, decoder: TileDecoder | Jpeg2000Decoder) -> None:
        self._decoder = decoder
        self.bytes_a_pixel = decoder.bytes_a_pixel
        self.is_jpeg = decoder.is_jpeg

    def decode(self, data: bytes, scale: int, out: npt.NDArray[np.uint8]) -> None:
        """Decode a frame; see `TileDecoder.decode`."""
        self._decoder.decode(frame_of(data), scale, out)

    def stream(self, data: bytes) -> bytes:
        """Return a frame as a JPEG stream that stands alone; see `TileDecoder.stream`."""
        return self._decoder.stream(frame_of(data))


def _check_length(length: int, each: int, count: int) -> None:
    if length != each * count:
        raise UnservedError(f"a table of {length // each} offsets for {count} frames")


def _items(source: ByteSource | _Held, at: int) -> Iterator[tuple[int, int]]:
    """Yield where each item begins, and where it ends, up to the end of the sequence."""
    while True:
        header = source.read(at, _HEADER_BYTES)
        if header.startswith(_END):
            return
        if len(header) < _HEADER_BYTES or not header.startswith(_ITEM):
            raise UnservedError("its pixel data is damaged or cut off")
        end = at + _HEADER_BYTES + int.from_bytes(header[4:], "little")
        yield at, end
        at = end


def _last_end(source: ByteSource, at: int) -> int:
    """Return the end of the last frame, which begins at `at` and has all items that are left."""
    return max(end for _, end in _items(source, at))


def _searched(
    source: ByteSource, first: int, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find frames by going from item to item, one a frame."""
    if source.generation is None:
        items = list(_items(source, first))
    elif source.size - first > _MOST_SEARCHED:
        raise UnservedError("no table of offsets: its frames are only found by reading all of it")
    else:
        held = _Held(source.read(first, source.size - first))
        items = [(first + start, first + end) for start, end in _items(held, 0)]
    if len(items) != count:
        raise UnservedError(f"no table of offsets, and {len(items)} items for {count} frames")
    places = np.array(items, np.int64).reshape(count, 2)
    return places[:, 0], places[:, 1] - places[:, 0]


class _Held:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]
