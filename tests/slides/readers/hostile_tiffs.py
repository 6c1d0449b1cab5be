"""Slides of a few kilobytes whose directories claim anything: written byte by byte."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

BYTE, ASCII, SHORT, LONG, RATIONAL, LONG8 = 1, 2, 3, 4, 5, 16
_FORMS = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "L", RATIONAL: "L", LONG8: "Q"}
DESCRIPTION = b"Aperio x|MPP = 0.5|AppMag = 20\0"
TISSUE = (200, 80, 160)


@dataclasses.dataclass(frozen=True)
class Tag:
    """A tag as it is written: what `count` and `offset` claim may differ from its values."""

    type: int
    values: Sequence[int] | bytes
    count: int | None = None
    offset: int | None = None


def tile(width: int = 256, height: int = 256, colour=TISSUE) -> bytes:
    """A JPEG of one colour with a little noise, which is tissue."""
    noise = np.random.default_rng(0).integers(-9, 9, (64, 64, 3)) + np.array(colour)
    few = noise.clip(0, 255).astype(np.uint8)
    pixels = np.tile(few, (-(-height // 64), -(-width // 64), 1))[:height, :width]
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), 80))


def level(
    width: int = 2560,
    height: int = 2560,
    side: tuple[int, int] = (256, 256),
    tiles: int | None = None,
    **changes: Tag | None,
) -> dict[int, Tag | str]:
    """The tags of a level whose tiles are all the one that `write` puts into the file.

    Args:
      changes: tags by number, as ``t322``; None leaves one out.
    """
    if tiles is None:
        tiles = -(-width // side[0]) * -(-height // side[1])
    tags: dict[int, Any] = {
        254: Tag(LONG, [0]),
        256: Tag(LONG, [width]),
        257: Tag(LONG, [height]),
        258: Tag(SHORT, [8, 8, 8]),
        259: Tag(SHORT, [7]),
        262: Tag(SHORT, [6]),
        270: Tag(ASCII, DESCRIPTION),
        277: Tag(SHORT, [3]),
        284: Tag(SHORT, [1]),
        322: Tag(LONG, [side[0]]),
        323: Tag(LONG, [side[1]]),
        324: ("offsets", tiles),
        325: ("lengths", tiles),
    }
    for name, tag in changes.items():
        number = int(name[1:])
        if tag is None:
            tags.pop(number, None)
        else:
            tags[number] = tag
    return tags


def write(
    path: Path,
    *levels: Mapping[int, Any],
    big: bool = False,
    order: str = "<",
    data: bytes | None = None,
    following: Callable[[list[int]], int] | None = None,
) -> Path:
    """Write a TIFF.

    Args:
      levels: the tags of each directory.
      big: whether it is a BigTIFF.
      order: ``<`` or ``>``.
      data: of the one tile; by default one of tissue.
      following: from the offsets of all directories, what the last one gives as the next.
    """
    jpeg = tile() if data is None else data
    word = "Q" if big else "L"
    mark = b"II" if order == "<" else b"MM"
    start = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    head = len(mark + start) + struct.calcsize(order + word)
    body = bytearray(jpeg)
    ends: list[int] = []
    places: list[int] = []
    for tags in levels:
        entries = []
        for number in sorted(tags):
            tag = tags[number]
            if isinstance(tag, tuple):
                values = [head] * tag[1] if tag[0] == "offsets" else [len(jpeg)] * tag[1]
                tag = Tag(LONG8 if big else LONG, values)
            form = _FORMS[tag.type]
            packed = struct.pack(f"{order}{len(tag.values)}{form}", *tag.values)
            count = tag.count
            if count is None:
                count = len(tag.values) // (2 if tag.type == RATIONAL else 1)
            inline = 8 if big else 4
            if tag.offset is not None:
                where = struct.pack(order + word, tag.offset)
            elif len(packed) <= inline:
                where = packed.ljust(inline, b"\0")
            else:
                body += bytes(len(body) % 2)
                where = struct.pack(order + word, head + len(body))
                body += packed
            entries.append(
                struct.pack(order + ("HHQ" if big else "HHL"), number, tag.type, count) + where
            )
        body += bytes(len(body) % 2)
        places.append(head + len(body))
        body += struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries)
        ends.append(len(body))
        body += bytes(struct.calcsize(order + word))
    for index, at in enumerate(ends):
        after = places[index + 1] if index + 1 < len(places) else 0
        if index + 1 == len(places) and following is not None:
            after = following(places)
        struct.pack_into(order + word, body, at, after)
    path.write_bytes(mark + start + struct.pack(order + word, places[0]) + body)
    return path
