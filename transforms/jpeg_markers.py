"""The marker segments of a JPEG stream: one walk for slides, films and the sample generator.

It reads no pixels. It supports every kind of JPEG with markers: baseline, extended, progressive and
lossless (ITU-T T.81), and JPEG-LS (T.87).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

# Marker codes of ITU-T T.81, table B.1.
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SOF0, SOF1, SOF2, SOF3, SOF55 = 0xC0, 0xC1, 0xC2, 0xC3, 0xF7  # SOF55 is JPEG-LS's.
END, SCAN, TABLES, HUFFMAN = 0xD9, 0xDA, 0xDB, 0xC4
APP0, APP14 = 0xE0, 0xEE
# Start of frame: all of 0xC0 to 0xCF but DHT, JPG and DAC.
FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {SOF55})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
# What ends the data of a scan. A stuffed 0xFF is followed by 0 (JPEG-LS: by less than 0x80), and
# 0xD0 to 0xD7 only restart the coder.
_AFTER_SCAN = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")


class MarkerError(ValueError):
    """The stream is not a JPEG, or its marker segments are cut off or overlap."""


class CutOffError(MarkerError):
    """The stream ends before its image."""


@dataclasses.dataclass(frozen=True)
class Segment:
    """One marker with its parameters.

    Attributes:
      marker: its second byte, such as 0xDA for a start of scan.
      start: where its 0xFF is in the stream.
      end: where its parameters end; for a start of scan, where the coded data begin.
    """

    marker: int
    start: int
    end: int

    def body(self, data: bytes) -> bytes:
        """Return the parameters, without the marker and their length."""
        return data[self.start + 4 : self.end]


@dataclasses.dataclass(frozen=True)
class Frame:
    """The contents of a frame header.

    Attributes:
      marker: the kind of JPEG, one of `FRAMES`.
      precision: bits of a sample.
      height: rows in pixels.
      width: columns in pixels.
      components: of each component, its id and its sampling (horizontal << 4 | vertical).
    """

    marker: int
    precision: int
    height: int
    width: int
    components: tuple[tuple[int, int], ...]


def segments(data: bytes, at: int = 2) -> Iterator[Segment]:
    """Walk over the marker segments, up to and with the first start of scan or end of image.

    Args:
      data: the stream; it begins with a start of image.
      at: where the first marker is; to go on behind the data of a scan, see `scan_end`.

    Raises:
      MarkerError: the stream does not begin as a JPEG, or something else is where a marker should
        be; a `CutOffError` where the data end in the midst of the headers.
    """
    if data[:2] != SOI:
        raise MarkerError("not JPEG data")
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if at + 2 > len(data):
            raise CutOffError("a broken JPEG header: the data end in it")
        if data[at] != 0xFF:
            raise MarkerError("a broken JPEG header")
        marker = data[at + 1]
        if marker in _STANDALONE:
            at += 2
            continue
        if marker == END:
            yield Segment(marker, at, at + 2)
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if max(end, at + 4) > len(data):
            raise CutOffError("a broken JPEG header: the data end in it")
        if end < at + 4:
            raise MarkerError("a broken JPEG header")
        yield Segment(marker, at, end)
        if marker == SCAN:
            return
        at = end


def scan_end(data: bytes, start: int) -> int:
    """Return the end of a scan's coded data: the next marker other than a restart.

    Raises:
      CutOffError: there is none.
    """
    if found := _AFTER_SCAN.search(data, start):
        return found.start()
    raise CutOffError("the JPEG data end in a scan")


def image_end(data: bytes) -> int:
    """Return the end of the image, right after its end-of-image marker.

    Raises:
      MarkerError: something else is where a marker should be; a `CutOffError` where the data end
        before the image.
    """
    at = 2
    while True:
        for segment in segments(data, at):
            if segment.marker == END:
                return segment.end
        at = scan_end(data, segment.end)


def read_frame(data: bytes) -> Frame:
    """Read the frame header.

    Raises:
      MarkerError: there is none before the first scan.
    """
    for segment in segments(data):
        if segment.marker in FRAMES:
            body = segment.body(data)
            if len(body) < 6 or len(body) < 6 + 3 * body[5]:
                break
            components = tuple((body[i], body[i + 1]) for i in range(6, 6 + 3 * body[5], 3))
            size = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
            return Frame(segment.marker, body[0], *size, components)
    raise MarkerError("it has no frame header")
