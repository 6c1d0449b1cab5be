"""The coded data of a sequential JPEG, read without making pixels: are they whole?

For the JPEGs that the strict decoder does not take and the other one would mend without a word
(see `jpeg`). A scan is sound when its Huffman codes give exactly the blocks that the headers
promise, and nothing is left but the bits that fill its last byte (ITU-T T.81, F.2.2).
"""

from __future__ import annotations

import dataclasses
import re

from beamscope.transforms import jpeg_markers

SEQUENTIAL = frozenset({jpeg_markers.SOF0, jpeg_markers.SOF1})

_RESTART_INTERVAL = 0xDD
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_STRAY = re.compile(rb"\xff[^\x00]")
_BLOCK = 64
_WORST_DC = 15  # bits of a difference at 12 bits a sample; 11 at 8 (T.81, table F.6)


class ScanError(ValueError):
    """Coded data that do not give what the headers promise."""


# Of the next 16 bits: the length of the code that they begin with, and its symbol; 0 bits where no
# code begins so.
_Codes = list[tuple[int, int]]


@dataclasses.dataclass
class _Tables:
    """The tables in force when a scan begins."""

    dc: dict[int, _Codes] = dataclasses.field(default_factory=dict)
    ac: dict[int, _Codes] = dataclasses.field(default_factory=dict)
    restart_interval: int = 0


def check_scans(data: bytes, frame: jpeg_markers.Frame) -> None:
    """Check all scans of a Huffman-coded sequential JPEG.

    Raises:
      ScanError: a code that is in no table, too few or too many bits, or a lost restart marker.
      jpeg_markers.MarkerError: broken headers, or no end.
    """
    tables = _Tables()
    seen: set[int] = set()
    at = 2
    while True:
        for segment in jpeg_markers.segments(data, at):
            body = segment.body(data)
            if segment.marker == jpeg_markers.END:
                if len(seen) < len(frame.components):
                    raise ScanError("a component has no scan")
                return
            if segment.marker == jpeg_markers.HUFFMAN:
                _read_codes(body, tables)
            elif segment.marker == _RESTART_INTERVAL:
                tables.restart_interval = int.from_bytes(body[:2])
        at = jpeg_markers.scan_end(data, segment.end)
        seen |= _check_scan(data[segment.end : at], body, frame, tables)


def _read_codes(body: bytes, tables: _Tables) -> None:
    """Read the tables of a DHT segment (T.81, B.2.4.2 and C.2)."""
    at = 0
    while at + 17 <= len(body):
        kind, slot = body[at] >> 4, body[at] & 15
        counts, place = body[at + 1 : at + 17], at + 17
        codes: _Codes = []
        for length, count in enumerate(counts, start=1):
            for symbol in body[place : place + count]:
                codes += [(length, symbol)] * (1 << (16 - length))
            place += count
        if len(codes) > 1 << 16 or place > len(body):
            raise ScanError("a Huffman table that cannot be")
        codes += [(0, 0)] * ((1 << 16) - len(codes))
        (tables.ac if kind else tables.dc)[slot] = codes
        at = place


def _check_scan(
    coded: bytes, header: bytes, frame: jpeg_markers.Frame, tables: _Tables
) -> set[int]:
    """Check one scan, and return the ids of its components."""
    if not header or len(header) < 1 + 2 * header[0]:
        raise ScanError("a scan header that is cut off")
    chosen = {header[i]: header[i + 1] for i in range(1, 1 + 2 * header[0], 2)}
    sampling = {number: (hv >> 4, hv & 15) for number, hv in frame.components}
    if not chosen or not chosen.keys() <= sampling.keys() or min(map(min, sampling.values())) < 1:
        raise ScanError("a scan of components that are not in the frame")
    widest = max(h for h, _ in sampling.values())
    tallest = max(v for _, v in sampling.values())
    if len(chosen) == 1:  # not interleaved: its own blocks only (T.81, A.2.2)
        ((h, v),) = (sampling[number] for number in chosen)
        across = _ceil(_ceil(frame.width * h, widest), 8)
        down = _ceil(_ceil(frame.height * v, tallest), 8)
        blocks = dict.fromkeys(chosen, 1)
    else:
        across, down = _ceil(frame.width, 8 * widest), _ceil(frame.height, 8 * tallest)
        blocks = {number: sampling[number][0] * sampling[number][1] for number in chosen}
    try:
        unit = [
            (tables.dc[chosen[number] >> 4], tables.ac[chosen[number] & 15])
            for number in chosen
            for _ in range(blocks[number])
        ]
    except KeyError:
        raise ScanError("a Huffman table is missing") from None
    left = across * down
    step = tables.restart_interval or left
    markers = [found[0][1] & 7 for found in _RESTART.finditer(coded)]
    if markers != [index % 8 for index in range(len(markers))]:
        raise ScanError("restart markers out of order")
    for part in _RESTART.split(coded):
        if left <= 0:
            raise ScanError("too many restart markers")
        _check_part(_unstuffed(part), unit * min(step, left))
        left -= step
    if left > 0:
        raise ScanError("premature end of its data")
    return set(chosen)


def _unstuffed(coded: bytes) -> bytes:
    """The bits without the zeros that keep 0xFF from being a marker, and without fill bytes."""
    coded = coded.rstrip(b"\xff")
    if _STRAY.search(coded):
        raise ScanError("a marker in the midst of its data")
    return coded.replace(b"\xff\x00", b"\xff")


def _check_part(coded: bytes, blocks: list[tuple[_Codes, _Codes]]) -> None:
    """Read the blocks that follow each other without a restart."""
    bits, total = coded + bytes(8), 8 * len(coded)
    at = 0
    for dc, ac in blocks:
        length, size = dc[_next_16(bits, at)]
        if not length or size > _WORST_DC:
            raise ScanError("a code that is in no Huffman table")
        at += length + size
        k = 1
        while k < _BLOCK:
            length, symbol = ac[_next_16(bits, at)]
            if not length:
                raise ScanError("a code that is in no Huffman table")
            size = symbol & 15
            at += length + size
            if not size and symbol != 0xF0:  # end of block
                break
            k += (symbol >> 4) + 1
        if k > _BLOCK:
            raise ScanError("a block of too many values")
        if at > total:
            raise ScanError("premature end of its data")
    if total - at >= 8:
        raise ScanError("bytes that belong to no block")


def _next_16(bits: bytes, at: int) -> int:
    byte = at >> 3
    return (int.from_bytes(bits[byte : byte + 3]) >> (8 - (at & 7))) & 0xFFFF


def _ceil(value: int, by: int) -> int:
    return -(-value // by)
