"""Tar archives: planned from their headers; a compressed one is read once, from end to end.

The standard library's `tarfile` parses a header. It does not walk the archive: it stops at the
first mark of an end, takes sizes as they are claimed, and follows extended headers by recursion.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.archives.broken import BrokenArchiveError
from beamscope.transforms.sources.archives.gzip_stream import GzipStream
from beamscope.transforms.sources.archives.magic import is_gzip, what_it_is
from beamscope.transforms.sources.archives.members import Entry, Limits, Member, readable_name

_BLOCK = 512
# A path has at most 4096 bytes on Linux; extended attributes are kilobytes.
_LONGEST_EXTENSION = 1 << 20
# POSIX 1003.1, pax, "pax Extended Header": "%d %s=%s\n", the length being that of the record.
_PAX_RECORD = re.compile(rb"([0-9]{1,7}) ([^=\n]+)=")
_PAX_SIZE = re.compile(rb"[0-9]{1,19}")
_LONG_NAME, _LONG_LINK, _PAX, _PAX_SUN, _PAX_GLOBAL = b"L", b"K", b"x", b"X", b"g"
_FOLDER, _GNU_FOLDER, _VOLUME_LABEL, _SPARSE, _CONTINUED = b"5", b"D", b"V", b"S", b"M"
_FILES, _LINKS, _DEVICES = (b"0", b"\0", b"7"), (b"1", b"2"), (b"3", b"4", b"6")
_WITHOUT_DATA = (*_LINKS, *_DEVICES, _FOLDER)


def list_tar(file: BinaryIO) -> tuple[list[Entry], InputError | None]:
    """List the entries of an uncompressed tar, and where it broke off if it did.

    Of archives that follow each other in one file, as ``cat`` and ``tar --append`` to a tape make
    them, the entries of all.

    Raises:
      InputError: ``not_a_tar`` where it does not begin with a header.
    """
    entries: list[Entry] = []
    try:
        for entry in _walk(_FileStream(file), file):
            entries.append(entry)
    except BrokenArchiveError as error:
        return entries, error
    return entries, None


def read_tar_member(file: BinaryIO, member: Member, limits: Limits) -> bytes:
    """Return the bytes of one member of an uncompressed tar.

    Raises:
      InputError: ``corrupt_member`` where the file ends before the member does.
    """
    limits.check_size(member.name, member.size)
    file.seek(member.offset)
    data = file.read(member.size)
    if len(data) != member.size:
        raise InputError(Kind.CORRUPT_MEMBER, f"{member.name!r} ends before its data does")
    return data


def stream_tar_gz(file: BinaryIO, limits: Limits) -> Iterator[tuple[Entry, Callable[[], bytes]]]:
    """Yield the entries of a gzipped tar in their order, each with a function that reads it.

    That function is to be called before the next entry is asked for, or not at all. An archive
    that is not compressed, whatever its name says, is read as it is.

    Raises:
      BrokenArchiveError: ``truncated_archive``, ``corrupt_archive``, ``trailing_data``, or
        ``compression_ratio`` when it inflates beyond reason: after all that came before, and from
        that function too.
      InputError: ``not_a_tar``; from that function, what is wrong with one member.
    """
    compressed = is_gzip(file.read(2))
    file.seek(0)
    stream = GzipStream(file, limits) if compressed else _FileStream(file)
    for entry in _walk(stream, None if compressed else file):
        yield entry, functools.partial(_read_here, stream, entry.member, limits)


class _FileStream:
    """A file that is read from its beginning, without reading what is skipped.

    Attributes:
      position: of the next byte.
      end: the size of the file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.end: int | None = file.seek(0, 2)
        self.position = file.seek(0)

    def read(self, size: int) -> bytes:
        if self._file.tell() != self.position:
            self._file.seek(self.position)
        data = self._file.read(size)
        self.position += len(data)
        return data

    def skip(self, size: int) -> int:
        skipped = min(size, (self.end or 0) - self.position)
        self.position += skipped
        return skipped


@dataclasses.dataclass
class _Said:
    """What the extension headers before a member say of it.

    Attributes:
      name: in place of the one in its own header.
      size: bytes in the archive, likewise.
      sparse: whether it has holes.
      damaged: whether some extension header could not be read.
    """

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False
    damaged: bool = False


def _walk(stream: _FileStream | GzipStream, file: BinaryIO | None) -> Iterator[Entry]:
    """Yield entries of all but folders; the data of each is skipped where nobody has read it.

    Args:
      stream: at its beginning.
      file: what the stream reads, where a message may say of what kind it is.
    """
    said = _Said()
    after_end = False
    while block := stream.read(_BLOCK):
        start = stream.position - len(block)
        if not block.strip(b"\0"):
            # Two such blocks end an archive, and any number of them fill up a tape's record.
            if said != _Said():
                raise _no_header(start)
            after_end = True
            continue
        header = _header(block, start, file, after_end)
        after_end = False
        if header.type in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_SUN, _PAX_GLOBAL):
            _apply_extension(header.type, _extension(stream, header.size, start), said)
            continue
        size = header.size if said.size is None else said.size
        if header.type == _SPARSE:
            said.sparse = True
            _skip_sparse_maps(stream, block)
        stored = 0 if header.type in _WITHOUT_DATA else size
        entry = _entry(header, said, stream.position, stored)
        said = _Said()
        end = stream.position + stored
        if stream.end is not None and end > stream.end:
            _ends_inside(entry.member.name)
        if not _is_folder(header, entry.member.name) and header.type != _VOLUME_LABEL:
            yield entry
        left = end - stream.position
        if stream.skip(left) < left:
            _ends_inside(entry.member.name)
        stream.skip(-stored % _BLOCK)
    if stream.position == 0:
        raise InputError(Kind.NOT_A_TAR, "it is empty")
    if not after_end:
        raise BrokenArchiveError(
            Kind.TRUNCATED_ARCHIVE,
            f"it ends at byte {stream.position}, where the next header should be; "
            "the members before that are read",
        )


def _header(block: bytes, start: int, file: BinaryIO | None, after_end: bool) -> tarfile.TarInfo:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        if start == 0:
            what = what_it_is(file) if file else ""
            raise InputError(
                Kind.NOT_A_TAR,
                "it does not begin as a tar archive does" + (f"; {what}" if what else ""),
            ) from None
        if after_end:
            raise BrokenArchiveError(
                Kind.TRAILING_DATA,
                f"after its end, at byte {start}, come bytes that are no tar archive; "
                "they are not read",
            ) from None
        raise _no_header(start) from None
    if header.size < 0:
        raise BrokenArchiveError(
            Kind.CORRUPT_ARCHIVE,
            f"the header at byte {start} says a size of {header.size} bytes; "
            "the members before it are read, what follows is lost",
        )
    return header


def _no_header(start: int) -> BrokenArchiveError:
    return BrokenArchiveError(
        Kind.TRUNCATED_ARCHIVE,
        f"there is no header at byte {start}, where one should be; "
        "the members before it are read, what follows is lost",
    )


def _extension(stream: _FileStream | GzipStream, size: int, start: int) -> bytes:
    """Read the data of a header that says something of the next one."""
    if size > _LONGEST_EXTENSION:
        raise BrokenArchiveError(
            Kind.CORRUPT_ARCHIVE,
            f"the extended header at byte {start} says a size of {size} bytes; "
            "the members before it are read, what follows is lost",
        )
    data = stream.read(size)
    stream.skip(-size % _BLOCK)
    if len(data) < size:
        raise BrokenArchiveError(
            Kind.TRUNCATED_ARCHIVE,
            f"it ends inside the extended header at byte {start}; the members before it are read",
        )
    return data


def _apply_extension(kind: bytes, data: bytes, said: _Said) -> None:
    if kind == _LONG_NAME:
        said.name = data.partition(b"\0")[0]
        return
    if kind == _LONG_LINK:
        return
    fields = _pax_fields(data)
    if fields is None:
        said.damaged = True
        return
    about_all = kind == _PAX_GLOBAL
    sparse = any(key.startswith(b"GNU.sparse.") for key in fields)
    name = fields.get(b"GNU.sparse.name") or fields.get(b"path")
    size = fields.get(b"size")
    if about_all and (sparse or name or size):
        raise BrokenArchiveError(
            Kind.CORRUPT_ARCHIVE,
            "a global header gives all members one name or size; the members before it are read",
        )
    said.name = name or said.name
    said.sparse |= sparse
    if size and _PAX_SIZE.fullmatch(size):
        said.size = int(size)
    elif size:
        said.damaged = True


def _pax_fields(data: bytes) -> dict[bytes, bytes] | None:
    """Return the records of a pax header; None where they are not as in the standard."""
    fields: dict[bytes, bytes] = {}
    place = 0
    while place < len(data) and data[place]:
        record = _PAX_RECORD.match(data, place)
        if record is None:
            return None
        end = place + int(record[1])
        if not record.end() < end <= len(data) or data[end - 1] != ord("\n"):
            return None
        fields[record[2]] = data[record.end() : end - 1]
        place = end
    return fields


def _skip_sparse_maps(stream: _FileStream | GzipStream, block: bytes) -> None:
    """Pass over the blocks that continue the map of an old GNU sparse header."""
    more, flag = block, 482
    while len(more) == _BLOCK and more[flag]:
        more, flag = stream.read(_BLOCK), 504


def _is_folder(header: tarfile.TarInfo, name: str) -> bool:
    # Archives older than POSIX know a folder by the slash alone.
    return header.type in (_FOLDER, _GNU_FOLDER) or (header.type in _FILES and name.endswith("/"))


def _entry(header: tarfile.TarInfo, said: _Said, offset: int, stored: int) -> Entry:
    name = readable_name(header.name if said.name is None else said.name)
    refused = None
    if header.type in _LINKS:
        refused = InputError(Kind.LINK_MEMBER, f"{name!r} is a link, not an image")
    elif header.type in _DEVICES:
        refused = InputError(Kind.DEVICE_MEMBER, f"{name!r} is a device or a pipe, not an image")
    elif said.damaged:
        refused = InputError(
            Kind.CORRUPT_MEMBER, f"the extended header of {name!r} is damaged, and may name another"
        )
    elif said.sparse:
        refused = InputError(Kind.UNSUPPORTED_MEMBER, f"{name!r} is a sparse file")
    elif header.type == _CONTINUED:
        refused = InputError(Kind.UNSUPPORTED_MEMBER, f"{name!r} begins in another volume")
    elif header.type not in _FILES:
        refused = InputError(
            Kind.UNSUPPORTED_MEMBER, f"{name!r} is an entry of the unknown type {header.type!r}"
        )
    return Entry(Member(offset, name, stored, stored), refused)


def _ends_inside(name: str) -> None:
    raise BrokenArchiveError(
        Kind.TRUNCATED_ARCHIVE, f"it ends inside {name!r}; the members before it are read"
    )


def _read_here(stream: _FileStream | GzipStream, member: Member, limits: Limits) -> bytes:
    """Read the bytes of the member that a stream has come to."""
    limits.check_size(member.name, member.size)
    if stream.position != member.offset:
        raise ValueError(f"{member.name!r} was to be read before the next one was asked for")
    data = stream.read(member.size)
    if len(data) != member.size:
        _ends_inside(member.name)
    return data
