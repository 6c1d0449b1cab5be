"""Tar archives: planned from their headers; a compressed one is read once, from end to end."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Self, cast

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.archives.members import Entry, Limits, Member, readable_name


class BrokenArchiveError(InputError):
    """The archive itself breaks off or is damaged: what came before is good, the rest is lost."""


class _StrictTarInfo(tarfile.TarInfo):
    """A header that says so when it is not one; `tarfile` takes a bad header for the end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError:
            if archive.offset == 0:
                raise InputError(
                    Kind.NOT_A_TAR, "it does not begin as a tar archive does"
                ) from None
            raise BrokenArchiveError(
                Kind.TRUNCATED_ARCHIVE,
                f"there is no header at byte {archive.offset}, where one should be; "
                "the members before it are read, what follows is lost",
            ) from None


def list_tar(file: BinaryIO) -> tuple[list[Entry], InputError | None]:
    """The entries of an uncompressed tar, and where it broke off if it did.

    Raises:
      InputError: ``not_a_tar`` where it does not begin with a header.
    """
    end = file.seek(0, 2)
    file.seek(0)
    entries: list[Entry] = []
    try:
        with _open(file, "r:") as archive:
            for info in _headers(archive):
                if info.offset_data + info.size > end and info.isreg():
                    raise BrokenArchiveError(
                        Kind.TRUNCATED_ARCHIVE,
                        f"it ends inside {readable_name(info.name)!r}; "
                        f"the {len(entries)} members before it are read",
                    )
                entries.append(_entry(info))
    except BrokenArchiveError as error:
        return entries, error
    return entries, None


def read_tar_member(file: BinaryIO, member: Member, limits: Limits) -> bytes:
    """The bytes of one member of an uncompressed tar.

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
    """The entries of a gzipped tar in their order, each with a function that reads it.

    That function is to be called before the next entry is asked for, or not at all.

    Raises:
      BrokenArchiveError: ``truncated_archive``, ``corrupt_archive``, or ``compression_ratio`` when
        it inflates beyond reason: after all that came before, and from that function too.
      InputError: ``not_a_tar``; from that function, what is wrong with one member.
    """
    with (
        _damage_named(),
        _GuardedGzip(file, limits) as stream,
        _open(cast(BinaryIO, stream), "r|") as archive,
    ):
        for info in _headers(archive):
            yield _entry(info), functools.partial(_extract, archive, info, limits)
        # The checksum of a gzip stream is at its very end.
        while stream.read(1 << 20):
            pass


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise BrokenArchiveError(
            Kind.TRUNCATED_ARCHIVE, "its compressed data ends too early; what follows is lost"
        ) from None
    except (gzip.BadGzipFile, zlib.error, tarfile.TarError) as error:
        raise BrokenArchiveError(
            Kind.CORRUPT_ARCHIVE,
            f"its data is damaged ({type(error).__name__}); what follows is lost",
        ) from None


class _GuardedGzip(io.RawIOBase):
    """A gzip stream that stops when, as a whole, it inflates beyond the limits."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self._stored = file
        self._stream = gzip.GzipFile(fileobj=file, mode="rb")
        self._limits = limits
        self._inflated = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._inflated += len(data)
        # One member's worth is let through: what is too big for a film is skipped, not held.
        spare = self._limits.max_member_bytes
        if self._inflated > spare + self._limits.max_compression_ratio * self._stored.tell():
            raise BrokenArchiveError(
                Kind.COMPRESSION_RATIO,
                f"it inflates by more than {self._limits.max_compression_ratio:g}; "
                "the members before that are read",
            )
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()


def _open(file: BinaryIO, mode: str) -> tarfile.TarFile:
    try:
        return tarfile.open(  # type: ignore[call-overload]
            fileobj=file, mode=mode, tarinfo=_StrictTarInfo, errors="surrogateescape"
        )
    except tarfile.ReadError:
        raise InputError(Kind.NOT_A_TAR, "it does not begin as a tar archive does") from None


def _headers(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Headers of all but directories, none of them kept: `tarfile` would keep them all."""
    try:
        while info := archive.next():
            archive.members = []  # type: ignore[attr-defined]
            if not info.isdir():
                yield info
    except tarfile.ReadError:
        raise BrokenArchiveError(
            Kind.TRUNCATED_ARCHIVE,
            f"it ends before byte {archive.offset}, where the next header should be; "
            "the members before that are read",
        ) from None


def _entry(info: tarfile.TarInfo) -> Entry:
    name = readable_name(info.name)
    refused = None
    if info.issym() or info.islnk():
        refused = InputError(Kind.LINK_MEMBER, f"{name!r} is a link, not a film")
    elif not info.isreg():
        refused = InputError(Kind.DEVICE_MEMBER, f"{name!r} is a device or a pipe, not a film")
    elif info.issparse():
        refused = InputError(Kind.UNSUPPORTED_MEMBER, f"{name!r} is a sparse file")
    return Entry(Member(info.offset_data, name, info.size, info.size), refused)


def _extract(archive: tarfile.TarFile, info: tarfile.TarInfo, limits: Limits) -> bytes:
    name = readable_name(info.name)
    limits.check_size(name, info.size)
    with _damage_named():
        reader = archive.extractfile(info)
        data = reader.read(info.size) if reader else b""
    if len(data) != info.size:
        raise InputError(Kind.CORRUPT_MEMBER, f"{name!r} ends before its data does")
    return data
