"""The central directory of a zip archive: every claim in it is held against the file.

The layouts are those of PKWARE's APPNOTE.TXT, sections 4.3.7 to 4.5.3. The standard library's
`zipfile` reads them too; but it holds an object for each of 377,000 images, lets offsets be
negative in some versions, and converts names by code page 437 where they are UTF-8 without
saying so.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from typing import BinaryIO

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.members import readable_name

LOCAL_HEADER, CENTRAL_HEADER = b"PK\x03\x04", b"PK\x01\x02"
# Signature, version, flags, method, time, date, CRC, stored size, size, name and extra length.
LOCAL_LAYOUT = struct.Struct("<4s5H3L2H")
# Then of the central header also: comment length, disk, attributes (2 and 4 bytes), offset.
_CENTRAL_LAYOUT = struct.Struct("<4s6H3L5H2L")
# Signature, disk, disk of the directory, entries here and in all, size, offset, comment length.
_END_LAYOUT = struct.Struct("<4s4H2LH")
# Signature, size, versions, disks, entries, size, offset.
_END64_LAYOUT = struct.Struct("<4sQ2H2L4Q")
# Signature, disk of the record, its offset, count of disks.
_LOCATOR_LAYOUT = struct.Struct("<4sLQL")
_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_SPANNED = b"PK\x07\x08"
_LONGEST_COMMENT = 0xFFFF
_IN_EXTRA_16, _IN_EXTRA_32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA, _UNICODE_NAME_EXTRA = 0x0001, 0x7075
_NAME_IS_UTF8 = 0x800


class DirectoryError(Exception):
    """A central directory that is missing or damaged; the text of the error is the reason."""


@dataclasses.dataclass(frozen=True)
class Directory:
    """Where a central directory lies.

    Attributes:
      start: byte at which it begins.
      size: in bytes.
      base: byte at which the archive begins: what comes before it is no part of it.
    """

    start: int
    size: int
    base: int


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One member as a central directory declares it; no number in it has been checked.

    Attributes:
      name: as text.
      offset: byte of the file at which its local header begins.
      mode: of a Unix file; 0 where the archiver had none.
      here: False where the member is said to be in another volume.
    """

    name: str
    flags: int
    method: int
    crc: int
    stored: int
    size: int
    offset: int
    mode: int
    here: bool


def find_directory(file: BinaryIO, end: int) -> Directory:
    """Find the central directory of the archive that ends at byte `end` or a little before.

    Raises:
      DirectoryError: there is none, or it would lie outside of the file.
      InputError: ``split_archive`` for one volume of several.
    """
    start = max(0, end - _END_LAYOUT.size - _LONGEST_COMMENT)
    file.seek(start)
    tail = file.read(end - start)
    place = tail.rfind(_END, 0, max(0, len(tail) - _END_LAYOUT.size) + len(_END))
    if place < 0:
        file.seek(0)
        if file.read(len(_SPANNED)) == _SPANNED:
            raise _split()
        raise DirectoryError("it has none")
    _, disk, its_disk, here, entries, size, offset, _ = _END_LAYOUT.unpack_from(tail, place)
    behind = start + place
    disks = (disk, its_disk)
    if (found := _end64(file, behind)) is not None:
        behind, disks, here, entries, size, offset = found
    if any(number not in (0, _IN_EXTRA_16, _IN_EXTRA_32) for number in disks) or here != entries:
        raise _split()
    begins = behind - size
    base = begins - offset
    if begins < 0 or base < 0:
        raise DirectoryError("it would begin before the file does")
    return Directory(begins, size, base)


def read_directory(file: BinaryIO, directory: Directory) -> Iterator[Record]:
    """Yield every record of a central directory, in its order, folders too.

    Raises:
      DirectoryError: something in it is no record.
    """
    end = directory.start + directory.size
    place = directory.start
    file.seek(place)
    while place < end:
        header = file.read(_CENTRAL_LAYOUT.size)
        if len(header) < _CENTRAL_LAYOUT.size or not header.startswith(CENTRAL_HEADER):
            raise DirectoryError(f"it is damaged at byte {place}")
        (
            _, _, _, flags, method, _, _, crc, stored, size,
            name_length, extra_length, comment_length, disk, _, attributes, offset,
        ) = _CENTRAL_LAYOUT.unpack(header)  # fmt: skip
        length = name_length + extra_length + comment_length
        rest = file.read(length)
        place += _CENTRAL_LAYOUT.size + length
        if len(rest) < length or place > end:
            raise DirectoryError("it ends inside a record")
        raw, extra = rest[:name_length], rest[name_length : name_length + extra_length]
        fields = _extra_fields(extra)
        wide = _wide_numbers(fields.get(_ZIP64_EXTRA, b""), size, stored, offset)
        size, stored, offset = wide
        yield Record(
            decode_name(raw, flags, fields.get(_UNICODE_NAME_EXTRA, b"")),
            flags,
            method,
            crc,
            stored,
            size,
            directory.base + offset,
            attributes >> 16,
            disk in (0, _IN_EXTRA_16),
        )


def decode_name(raw: bytes, flags: int, unicode_extra: bytes = b"") -> str:
    """Return a member's name as text.

    It is UTF-8 where a flag or an extra field of Info-ZIP says so. Otherwise it should be code
    page 437; but archivers on Linux and macOS write UTF-8 without saying so, and bytes that are
    UTF-8 by chance are rare.
    """
    # Version, CRC-32 of the name in the header, and the name in UTF-8 (APPNOTE, 4.6.9).
    if len(unicode_extra) > 5 and unicode_extra[0] == 1:
        raw, flags = unicode_extra[5:], _NAME_IS_UTF8
    raw = raw.partition(b"\0")[0]
    if flags & _NAME_IS_UTF8:
        return readable_name(raw)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _end64(file: BinaryIO, behind: int) -> tuple[int, tuple[int, int], int, int, int, int] | None:
    """Read the zip64 record, in the order in which `find_directory` needs it; None without one."""
    locator_at = behind - _LOCATOR_LAYOUT.size
    if locator_at < 0:
        return None
    file.seek(locator_at)
    locator = file.read(_LOCATOR_LAYOUT.size)
    if not locator.startswith(_LOCATOR):
        return None
    _, _, stated, disks = _LOCATOR_LAYOUT.unpack(locator)
    if disks > 1:
        raise _split()
    # Right before its locator, but where it has a part of its own length or follows other data.
    for place in (locator_at - _END64_LAYOUT.size, stated):
        if not 0 <= place <= locator_at - _END64_LAYOUT.size:
            continue
        file.seek(place)
        record = file.read(_END64_LAYOUT.size)
        if record.startswith(_END64):
            _, _, _, _, disk, its_disk, here, entries, size, offset = _END64_LAYOUT.unpack(record)
            return place, (disk, its_disk), here, entries, size, offset
    raise DirectoryError("its zip64 record is not where it should be")


def _extra_fields(extra: bytes) -> dict[int, bytes]:
    """Return extra fields by their id, as far as they are whole."""
    fields: dict[int, bytes] = {}
    place = 0
    while place + 4 <= len(extra):
        key, length = struct.unpack_from("<2H", extra, place)
        fields.setdefault(key, extra[place + 4 : place + 4 + length])
        place += 4 + length
    return fields


def _wide_numbers(zip64: bytes, *narrow: int) -> list[int]:
    """Return size, stored size and offset; those beyond 32 bits are in an extra field."""
    wide = iter(struct.unpack_from(f"<{len(zip64) // 8}Q", zip64))
    return [next(wide, number) if number == _IN_EXTRA_32 else number for number in narrow]


def _split() -> InputError:
    return InputError(
        Kind.SPLIT_ARCHIVE,
        "it is one volume of a split zip archive; join its volumes to one file first, "
        "as by zip -s 0 NAME.zip --out WHOLE.zip",
    )
