"""Zip archives: planned from the central directory, read by seeking to one member at a time.

The standard library's `zipfile` lists them. It does not read them: opening a `ZipFile` parses the
whole central directory (for 377,000 films a second and hundreds of megabytes), which a block of a
few hundred films must not pay for; and its reader checks no limit before it inflates.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.archives.members import Entry, Limits, Member, readable_name

_LOCAL_HEADER = b"PK\x03\x04"
# Signature, version, flags, method, time, date, CRC, stored size, size, name and extra length.
_LOCAL_LAYOUT = struct.Struct("<4s5H3L2H")
_CENTRAL_HEADER = b"PK\x01\x02"
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
_CHUNK = 1 << 18


def list_zip(file: BinaryIO) -> tuple[list[Entry], InputError | None]:
    """The entries of a zip, and what is wrong with it if it had to be searched for them.

    An archive whose central directory is missing or unreadable (a download that broke off) is
    read from its start, for the members that are whole.

    Raises:
      InputError: ``not_a_zip`` where there is not one member to be found.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return [_entry(info) for info in archive.infolist() if not info.is_dir()], None
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, ValueError) as error:
        reason = type(error).__name__
    entries = list(_scan(file))
    if not entries:
        raise InputError(Kind.NOT_A_ZIP, "no central directory and no member: it is no zip archive")
    return entries, InputError(
        Kind.TRUNCATED_ARCHIVE,
        f"its central directory cannot be read ({reason}); "
        f"{len(entries)} whole members were found from its start, what follows them is lost",
    )


def read_zip_member(file: BinaryIO, member: Member, limits: Limits) -> bytes:
    """The bytes of one member, never more of them than the limits allow.

    Raises:
      InputError: ``corrupt_member`` where the bytes are not those that the archive promised, and
        whatever `Limits` refuses.
    """
    file.seek(member.offset)
    header = file.read(_LOCAL_LAYOUT.size)
    if len(header) < _LOCAL_LAYOUT.size or not header.startswith(_LOCAL_HEADER):
        raise InputError(Kind.CORRUPT_MEMBER, f"{member.name!r} has no header where it should be")
    *_, name_length, extra_length = _LOCAL_LAYOUT.unpack(header)
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


def _entry(info: zipfile.ZipInfo) -> Entry:
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    name = readable_name(info.filename)
    member = Member(
        info.header_offset, name, info.file_size, info.compress_size, deflated, info.CRC
    )
    # The upper half of the external attributes is the file's mode, if the archiver had one.
    mode = info.external_attr >> 16
    return Entry(member, _refusal(name, info.flag_bits, info.compress_type, mode))


def _refusal(name: str, flags: int, method: int, mode: int = 0) -> InputError | None:
    if flags & _ENCRYPTED:
        return InputError(Kind.ENCRYPTED_MEMBER, f"{name!r} is encrypted")
    file_type = mode & 0o170000
    if file_type == 0o120000:
        return InputError(Kind.LINK_MEMBER, f"{name!r} is a link, not a film")
    if file_type in (0o010000, 0o020000, 0o060000, 0o140000):
        return InputError(Kind.DEVICE_MEMBER, f"{name!r} is a device or a pipe, not a film")
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return InputError(
            Kind.UNSUPPORTED_COMPRESSION, f"{name!r} is compressed by method {method}"
        )
    return None


def _scan(file: BinaryIO) -> Iterator[Entry]:
    """Members found by their own headers, from the first byte to the first that is not whole."""
    end, offset = file.seek(0, 2), 0
    search = Limits(max_compression_ratio=float("inf"))
    while True:
        file.seek(offset)
        header = file.read(_LOCAL_LAYOUT.size)
        if len(header) < _LOCAL_LAYOUT.size or not header.startswith(_LOCAL_HEADER):
            return
        _, _, flags, method, _, _, crc, stored, size, name_length, extra = _LOCAL_LAYOUT.unpack(
            header
        )
        name = readable_name(file.read(name_length))
        data = offset + _LOCAL_LAYOUT.size + name_length + extra
        deflated = method == zipfile.ZIP_DEFLATED
        refused = _refusal(name, flags, method)
        checked: int | None = crc
        if flags & _SIZES_FOLLOW:
            # The sizes come after the data: only inflating it tells where it ends.
            if not deflated or refused or data >= end:
                return
            file.seek(data)
            try:
                content, stored = _inflate(file, end - data, name, search)
            except InputError:
                return
            size, checked = len(content), None
        if data + stored > end:
            return
        if not name.endswith("/"):
            yield Entry(Member(offset, name, size, stored, deflated, checked), refused)
        offset = _next_header(file, data + stored) if flags & _SIZES_FOLLOW else data + stored


def _next_header(file: BinaryIO, offset: int) -> int:
    """Where the header after a data descriptor, of 12 to 24 bytes, begins."""
    file.seek(offset)
    following = file.read(28)
    places = [following.find(sign) for sign in (_LOCAL_HEADER, _CENTRAL_HEADER)]
    return offset + min((place for place in places if place >= 0), default=len(following))


def _inflate(file: BinaryIO, stored: int, name: str, limits: Limits) -> tuple[bytes, int]:
    """Inflate at most `stored` bytes of the file; returns also how many it took."""
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
