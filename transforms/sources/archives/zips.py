"""Zip archives: planned from the central directory, read by seeking to one member at a time.

The standard library's `zipfile` is not used for reading either: opening a `ZipFile` parses the
whole central directory (for 377,000 images a second and hundreds of megabytes), which a block of a
few hundred images must not pay for; and its reader checks no limit before it inflates.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.magic import what_it_is
from beamscope.transforms.sources.archives.members import Entry, Limits, Member
from beamscope.transforms.sources.archives.zip_directory import (
    CENTRAL_HEADER,
    LOCAL_HEADER,
    LOCAL_LAYOUT,
    DirectoryError,
    Record,
    decode_name,
    find_directory,
    read_directory,
)

_ENCRYPTED, _STRONGLY_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x40, 0x8
_CHUNK = 1 << 18
# APPNOTE 4.4.17 wants "/" between the parts of a name; .NET before 4.6.1 wrote a backslash.
_SLASHES = ("/", "\\")


def list_zip(file: BinaryIO) -> tuple[list[Entry], InputError | None]:
    """List the entries of a zip, and a problem of the archive itself if it has one.

    An archive whose central directory is missing or unreadable (a download that broke off) is
    read from its start, for the members that are whole. Of archives that follow each other in one
    file, the entries of all.

    Raises:
      InputError: ``not_a_zip`` where there is not one member to be found, ``split_archive``.
    """
    end = file.seek(0, 2)
    entries: list[Entry] = []
    try:
        while True:
            directory = find_directory(file, end)
            records = read_directory(file, directory)
            entries += [
                _entry(record, directory.start)
                for record in records
                if not record.name.endswith(_SLASHES)
            ]
            end = directory.base
            file.seek(0)
            # Before a self-extracting archive is a program, before a joined one another archive.
            if end == 0 or file.read(len(LOCAL_HEADER)) != LOCAL_HEADER:
                return _without_shared_bytes(entries)
    except DirectoryError as error:
        reason = str(error)
    found = list(_scan(file, end))
    if not (entries or found):
        what = what_it_is(file)
        raise InputError(
            Kind.NOT_A_ZIP,
            "no central directory and no member: it is no zip archive"
            + (f"; {what}" if what and not what.startswith("it is a zip") else ""),
        )
    return [*entries, *found], InputError(
        Kind.TRUNCATED_ARCHIVE,
        f"its central directory cannot be read: {reason}; "
        f"{len(found)} whole members were found from its start, what follows them is lost",
    )


def read_zip_member(file: BinaryIO, member: Member, limits: Limits) -> bytes:
    """Return the bytes of one member, never more of them than the limits allow.

    Raises:
      InputError: ``corrupt_member`` where the bytes are not those that the archive promised, and
        whatever `Limits` refuses.
    """
    file.seek(member.offset)
    header = file.read(LOCAL_LAYOUT.size)
    if len(header) < LOCAL_LAYOUT.size or not header.startswith(LOCAL_HEADER):
        raise InputError(Kind.CORRUPT_MEMBER, f"{member.name!r} has no header where it should be")
    *_, name_length, extra_length = LOCAL_LAYOUT.unpack(header)
    file.seek(name_length + extra_length, 1)
    if member.deflated:
        data, _ = _inflate(file, member.stored, member.name, limits)
    else:
        limits.check_size(member.name, member.stored)
        data = file.read(member.stored)
    if len(data) != member.size:
        raise InputError(
            Kind.CORRUPT_MEMBER,
            f"{member.name!r} has {len(data)} bytes where the archive declares {member.size}",
        )
    if member.crc is not None and zlib.crc32(data) != member.crc:
        raise InputError(Kind.CORRUPT_MEMBER, f"{member.name!r} does not match its CRC-32")
    return data


def _entry(record: Record, directory_start: int) -> Entry:
    name = record.name
    deflated = record.method == zipfile.ZIP_DEFLATED
    member = Member(record.offset, name, record.size, record.stored, deflated, record.crc)
    refused = _refusal(name, record.flags, record.method, record.mode)
    if not record.here:
        refused = InputError(Kind.SPLIT_ARCHIVE, f"{name!r} is in another volume of the archive")
    elif record.offset + LOCAL_LAYOUT.size + record.stored > directory_start:
        refused = InputError(
            Kind.CORRUPT_MEMBER, f"{name!r} is said to lie where the archive has no room for it"
        )
    return Entry(member, refused)


def _without_shared_bytes(entries: Iterable[Entry]) -> tuple[list[Entry], InputError | None]:
    """Leave out entries that lie on the bytes of others, and say how many there were.

    Listing one member thousands of times, whole or in part, is how small archives become huge
    ones (Fifield, "A better zip bomb", 2019). No archiver does it.
    """
    kept: list[Entry] = []
    shared: list[str] = []
    taken = 0
    for entry in sorted(entries, key=lambda entry: entry.member.offset):
        member = entry.member
        if entry.refused is not None:
            kept.append(entry)
        elif member.offset < taken:
            shared.append(member.name)
        else:
            kept.append(entry)
            taken = member.offset + LOCAL_LAYOUT.size + member.stored
    if not shared:
        return kept, None
    return kept, InputError(
        Kind.CORRUPT_ARCHIVE,
        f"{len(shared)} of its members lie on the bytes of others, {shared[0]!r} the first; "
        "they are not read",
    )


def _refusal(name: str, flags: int, method: int, mode: int = 0) -> InputError | None:
    if flags & (_ENCRYPTED | _STRONGLY_ENCRYPTED):
        return InputError(Kind.ENCRYPTED_MEMBER, f"{name!r} is encrypted")
    file_type = mode & 0o170000
    if file_type == 0o120000:
        return InputError(Kind.LINK_MEMBER, f"{name!r} is a link, not an image")
    if file_type in (0o010000, 0o020000, 0o060000, 0o140000):
        return InputError(Kind.DEVICE_MEMBER, f"{name!r} is a device or a pipe, not an image")
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return InputError(
            Kind.UNSUPPORTED_COMPRESSION, f"{name!r} is compressed by method {method}"
        )
    return None


def _scan(file: BinaryIO, end: int) -> Iterator[Entry]:
    """Yield members by their own headers, from the first byte to the first that is not whole."""
    offset = 0
    while True:
        file.seek(offset)
        header = file.read(LOCAL_LAYOUT.size)
        if len(header) < LOCAL_LAYOUT.size or not header.startswith(LOCAL_HEADER):
            return
        _, _, flags, method, _, _, crc, stored, size, name_length, extra = LOCAL_LAYOUT.unpack(
            header
        )
        name = decode_name(file.read(name_length), flags)
        data = offset + LOCAL_LAYOUT.size + name_length + extra
        deflated = method == zipfile.ZIP_DEFLATED
        refused = _refusal(name, flags, method)
        checked: int | None = crc
        if flags & _SIZES_FOLLOW:
            # The sizes come after the data: only inflating it tells where it ends.
            if not deflated or refused or data >= end:
                return
            file.seek(data)
            try:
                # The usual limits, so that looking takes time by the size of the file.
                content, stored = _inflate(file, end - data, name, Limits())
            except InputError:
                return
            size, checked = len(content), None
        if data + stored > end:
            return
        if not name.endswith(_SLASHES):
            yield Entry(Member(offset, name, size, stored, deflated, checked), refused)
        offset = _next_header(file, data + stored) if flags & _SIZES_FOLLOW else data + stored


def _next_header(file: BinaryIO, offset: int) -> int:
    """Return where the header after a data descriptor, of 12 to 24 bytes, begins."""
    file.seek(offset)
    following = file.read(28)
    places = [following.find(sign) for sign in (LOCAL_HEADER, CENTRAL_HEADER)]
    return offset + min((place for place in places if place >= 0), default=len(following))


def _inflate(file: BinaryIO, stored: int, name: str, limits: Limits) -> tuple[bytes, int]:
    """Inflate at most `stored` bytes of the file; return the data and how many bytes it took."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    content = bytearray()
    taken = 0
    while not engine.eof:
        chunk = file.read(min(_CHUNK, stored - taken))
        if not chunk:
            raise InputError(Kind.CORRUPT_MEMBER, f"{name!r} ends before its data does")
        taken += len(chunk)
        try:
            content += engine.decompress(chunk, limits.max_member_bytes + 1 - len(content))
        except zlib.error:
            raise InputError(Kind.CORRUPT_MEMBER, f"{name!r} cannot be inflated") from None
        limits.check_size(name, len(content))
        limits.check_ratio(name, len(content), taken)
    return bytes(content), taken - len(engine.unused_data)
