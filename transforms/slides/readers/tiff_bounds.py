"""Hold what the directories of a TIFF claim against the file and against limits.

libtiff, OpenSlide and tifffile make room for what a directory claims before they look whether it is
there. OpenSlide's allocator (GLib) ends the process where it gets none: one byte count of 2^50 in a
file of 5 KB is enough. So the claims are checked here first, with a few bytes of memory.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage.byte_source import ByteSource, as_file

# Scanners write tiles of 240 to 1024 px. One of 4096 px square takes 64 MiB as RGBA, which is more
# than OpenSlide keeps of tiles, so that it is decoded again for each patch.
MAX_TILE_PIXELS = 1 << 24
# Of one directory: a level of 524,000 px square has so many tiles of 256 px.
MAX_TILES = 1 << 22
# Series of planes and focal stacks have thousands.
MAX_DIRECTORIES = 1 << 14
# OpenSlide makes room for as many bytes as a tile is said to have. A tile of the largest size has
# 128 MiB where it is not compressed (RGBA of 16 bits). A false length below that costs the tile.
MAX_TILE_BYTES = 1 << 28
# Some writers let all blank tiles lie on the same bytes. Beyond this a small file makes work for
# hours, as an archive does that lists one member thousands of times.
_SHARED_BYTES, _SHARED_TIMES = 1 << 30, 16

# Bytes of a value of each type (TIFF 6.0; 13 and 16 to 18: BigTIFF).
_TYPE_BYTES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8,
    18: 8,
}  # fmt: skip
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 322, 323
_TILE_OFFSETS, _TILE_BYTE_COUNTS, _SAMPLES, _PLANAR = 324, 325, 277, 284
_SEPARATE = 2
_HEADER_BYTES = 8
_NDPI_MARK = 65420
_4_GIB = 1 << 32


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A tag of a directory: its type, how many values it has, and where they are."""

    type: int
    count: int
    offset: int

    @property
    def length(self) -> int:
        return self.count * _TYPE_BYTES.get(self.type, 1)


class _Tiff:
    """The header of a TIFF, and how its directories are laid out."""

    def __init__(self, source: ByteSource, order: str, big: bool) -> None:
        self.size = source.size
        self.order = order
        self._file = as_file(source)
        self._count = struct.Struct(order + ("Q" if big else "H"))
        self._entry = struct.Struct(order + ("HHQ8s" if big else "HHL4s"))
        self._inline = 8 if big else 4
        self._offset = struct.Struct(order + ("Q" if big else "L"))
        # Hamamatsu's files above 4 GiB are classic TIFFs whose offsets have 64 bits all the same:
        # of directories they follow on the lower half, of values they follow on the directory.
        self._ndpi = False
        self.first: int
        if not big and order == "<" and self.size > _4_GIB:
            (self.first,) = struct.unpack("<Q", self.read(4, 8))
            self._ndpi = self._has_ndpi_mark(self.first)
            if self._ndpi:
                self._offset = struct.Struct("<Q")
                return
        (self.first,) = self._offset.unpack(self.read(8 if big else 4, self._offset.size))

    def _has_ndpi_mark(self, offset: int) -> bool:
        try:
            return _NDPI_MARK in self.directory(offset)[0]
        except struct.error:
            return False

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the file; `struct` refuses them where there are too few."""
        self._file.seek(offset)
        return self._file.read(length) if offset < self.size else b""

    def directory(self, offset: int) -> tuple[dict[int, _Entry], int]:
        """Return the tags of a directory, and where the next one is; 0 for none."""
        (count,) = self._count.unpack(self.read(offset, self._count.size))
        start = offset + self._count.size
        if start + count * self._entry.size > self.size:
            raise struct.error("it ends inside a directory")
        end = start + count * self._entry.size
        after = self.read(end, self._offset.size)
        following = self._offset.unpack(after)[0] if len(after) == self._offset.size else 0
        high = b""
        if self._ndpi:
            high = self.read(end + self._offset.size, 4 * count)
        tags: dict[int, _Entry] = {}
        entries = self._entry.iter_unpack(self.read(start, end - start))
        for number, (tag, kind, values, where) in enumerate(entries):
            at = start + (number + 1) * self._entry.size - self._inline
            entry = _Entry(kind, values, at)
            if entry.length > self._inline:
                upper = high[4 * number : 4 * number + 4] if self._ndpi else b""
                offset = int.from_bytes(where + upper, "little" if self.order == "<" else "big")
                entry = dataclasses.replace(entry, offset=offset)
            tags.setdefault(tag, entry)
        return tags, following

    def values(self, entry: _Entry) -> npt.NDArray[np.unsignedinteger]:
        """Return whole numbers; fewer than are claimed where the file ends before."""
        form = np.dtype(self.order + _INTEGERS[entry.type])
        data = self.read(entry.offset, min(entry.length, self.size))
        return np.frombuffer(data[: len(data) // form.itemsize * form.itemsize], form)

    def number(self, tags: dict[int, _Entry], tag: int, default: int = 0) -> int:
        entry = tags.get(tag)
        if entry is None or entry.type not in _INTEGERS or entry.count < 1:
            return default
        values = self.values(dataclasses.replace(entry, count=1))
        return int(values[0]) if len(values) else default


def check_tiff(source: ByteSource, *, tables: bool = True) -> None:
    """Check the claims of a TIFF's directories; any other file passes.

    What is damaged otherwise passes too: its reader says what is wrong with it.

    Args:
      source: the file. Its directories are read, and the lengths of tiles.
      tables: whether the lengths of tiles are checked, which takes 4 or 8 bytes each.

    Raises:
      InputError: ``impossible_header`` for a claim that the file cannot hold, ``slide_too_large``
        for one beyond the limits; and others of the source.
    """
    try:
        tiff = _open(source)
        if tiff is None:
            return
        for number, tags in enumerate(_directories(tiff), start=1):
            _check_directory(tiff, number, tags, tables=tables)
    except struct.error:
        return


def _open(source: ByteSource) -> _Tiff | None:
    head = source.read(0, 8)
    orders: dict[bytes, Literal["<", ">"]] = {b"II": "<", b"MM": ">"}
    order = orders.get(head[:2])
    if order is None or len(head) < 8:
        return None
    (version,) = struct.unpack_from(order + "H", head, 2)
    return _Tiff(source, order, version == 43) if version in (42, 43) else None


def _directories(tiff: _Tiff) -> Iterator[dict[int, _Entry]]:
    """Yield each directory once, also where they form a circle."""
    offset, seen = tiff.first, set[int]()
    while offset and offset not in seen:
        if len(seen) == MAX_DIRECTORIES:
            raise InputError(
                Kind.SLIDE_TOO_LARGE, f"more than {MAX_DIRECTORIES:,} directories in one TIFF"
            )
        seen.add(offset)
        tags, offset = tiff.directory(offset)
        yield tags


def _check_directory(tiff: _Tiff, number: int, tags: dict[int, _Entry], *, tables: bool) -> None:
    where = f"directory {number} of the TIFF"
    for tag, entry in tags.items():
        if entry.length > tiff.size:
            raise InputError(
                Kind.IMPOSSIBLE_HEADER,
                f"{where} says that tag {tag} has {entry.count:,} values, "
                f"more than a file of {tiff.size:,} bytes holds",
            )
        # tifffile leaves such a tag out, and OpenSlide takes the header for lengths of tiles.
        if entry.offset < _HEADER_BYTES:
            raise InputError(
                Kind.IMPOSSIBLE_HEADER,
                f"{where} says that tag {tag} lies at byte {entry.offset}, in the header",
            )
    side = tiff.number(tags, _TILE_WIDTH), tiff.number(tags, _TILE_LENGTH)
    if not all(side):
        return
    if side[0] * side[1] > MAX_TILE_PIXELS:
        raise InputError(
            Kind.SLIDE_TOO_LARGE,
            f"{where} has tiles of {side[0]:,} x {side[1]:,} px; "
            f"a tile may have {MAX_TILE_PIXELS:,} px",
        )
    _check_tiles(tiff, where, tags, side, tables=tables)


def _check_tiles(
    tiff: _Tiff, where: str, tags: dict[int, _Entry], side: tuple[int, int], *, tables: bool
) -> None:
    size = tiff.number(tags, _WIDTH), tiff.number(tags, _LENGTH)
    planes = 1
    if tiff.number(tags, _PLANAR) == _SEPARATE:
        planes = tiff.number(tags, _SAMPLES, 1)
    tiles = planes * -(-size[0] // side[0]) * -(-size[1] // side[1])
    what = f"{where}, of {size[0]:,} x {size[1]:,} px, needs {tiles:,} tiles"
    if tiles > MAX_TILES:
        raise InputError(Kind.SLIDE_TOO_LARGE, f"{what}; {MAX_TILES:,} are allowed")
    if tiles * 4 > tiff.size:
        raise InputError(
            Kind.IMPOSSIBLE_HEADER, f"{what}, more than a file of {tiff.size:,} bytes can list"
        )
    lengths = tags.get(_TILE_BYTE_COUNTS)
    if not tables or lengths is None or lengths.type not in _INTEGERS:
        return
    values = tiff.values(lengths)
    if len(values) and int(values.max()) > MAX_TILE_BYTES:
        tile = int(values.argmax())
        raise InputError(
            Kind.IMPOSSIBLE_HEADER,
            f"{where} says that tile {tile:,} has {int(values[tile]):,} bytes; "
            f"{MAX_TILE_BYTES:,} are allowed, and the file has {tiff.size:,}",
        )
    check_total(where, values, tiff.size)


def check_total(where: str, lengths: npt.NDArray[np.integer], size: int) -> None:
    """Refuse tiles that together have many times the bytes of their file.

    Args:
      where: the level, for a person.
      lengths: bytes of each tile.
      size: of the file, bytes.

    Raises:
      InputError: ``impossible_header``.
    """
    total = int(lengths.sum(dtype=np.float64))
    if total > max(_SHARED_BYTES, _SHARED_TIMES * size):
        raise InputError(
            Kind.IMPOSSIBLE_HEADER,
            f"{where} lists tiles of {total:,} bytes in all, in a file of {size:,}: "
            "they lie on the bytes of each other",
        )
