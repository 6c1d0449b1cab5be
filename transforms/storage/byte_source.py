"""Random access to the bytes of a file, for readers that fetch no more than they need."""

from __future__ import annotations

import collections
import errno
import functools
import io
import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage.store import Version
from beamscope.transforms.storage.uris import local_path

# Bytes that are read at a time: a directory is dozens of tiny pieces that lie close to each other.
_PIECE_BYTES = 1 << 16
# Pieces that are kept: more than the headers of a slide of some gigabytes have.
_MOST_PIECES = 64


class ByteSource(Protocol):
    """Random access to the bytes of one file, by several threads at once."""

    @property
    def size(self) -> int:
        """Length of the file, bytes."""

    @property
    def generation(self) -> Version | None:
        """The version of a remote file that is read; None for a local one."""

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from `offset` on; fewer than `length` only where the file ends.

        Raises:
          InputError: these bytes can never be had. A fault that may pass is raised as it is.
        """

    def request(self, ranges: Sequence[tuple[int, int]]) -> list[Callable[[], bytes]]:
        """Begin to read several (offset, length).

        A remote source fetches ranges that are close to each other together, and has asked for
        all of them before this returns.

        Returns:
          for each range a function that waits for its bytes, and returns or raises as `read` does.
        """

    def close(self) -> None:
        """Close the file."""


class LocalSource:
    """A file on a local or mounted disk, for use by several threads.

    Raises:
      InputError: ``missing_file`` or ``unopenable``.
    """

    generation: Version | None = None

    def __init__(self, path: str | Path) -> None:
        try:
            self._file = os.open(local_path(path), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise InputError(Kind.MISSING_FILE, f"{path}: no such file") from error
        except OSError as error:
            raise InputError(Kind.UNOPENABLE, f"{path}: {one_line(error)}") from error
        # Runs once, on `close` or when nobody refers to the source any more.
        self._close = weakref.finalize(self, os.close, self._file)
        self._size = os.fstat(self._file).st_size

    @property
    def size(self) -> int:
        """Length of the file, bytes."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from `offset` on; fewer than `length` only where the file ends.

        Raises:
          InputError: ``unreadable_bytes`` where the disk is damaged.
        """
        data = b""
        try:
            while more := os.pread(self._file, length - len(data), offset + len(data)):
                data += more
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            place = f"{length} bytes at {offset}"
            raise InputError(Kind.UNREADABLE_BYTES, f"{place}: {one_line(error)}") from error
        return data

    def request(self, ranges: Sequence[tuple[int, int]]) -> list[Callable[[], bytes]]:
        """Return functions that each read one (offset, length), in the thread that calls them."""
        return [functools.partial(self.read, offset, length) for offset, length in ranges]

    def close(self) -> None:
        """Close the file; a later read fails."""
        self._file = -1  # the number may soon be another file's
        self._close()


class SourceFile(io.RawIOBase):
    """A seekable binary file over a byte source; a subclass writes `readinto`."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place in the file, and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}
        self._position = max(0, start[whence] + offset)
        return self._position


class _PieceFile(SourceFile):
    name = ""  # which pydicom asks for

    def __init__(self, source: ByteSource) -> None:
        super().__init__(source)
        self._pieces: collections.OrderedDict[int, bytes] = collections.OrderedDict()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._read(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _read(self, offset: int, length: int) -> bytes:
        if length >= _PIECE_BYTES:
            return self._source.read(offset, length)
        start = offset - offset % _PIECE_BYTES
        if start not in self._pieces:
            self._pieces[start] = self._source.read(start, _PIECE_BYTES)
        self._pieces.move_to_end(start)
        if len(self._pieces) > _MOST_PIECES:
            self._pieces.popitem(last=False)
        return self._pieces[start][offset - start : offset - start + length]


def as_file(source: ByteSource) -> io.BufferedReader:
    """Return a source as a seekable binary file, for libraries that want one.

    It reads pieces of 64 KiB and keeps the last 4 MiB of them, which suits headers that lie here
    and there, and not the whole of a large file. It is not for several threads.
    """
    return io.BufferedReader(_PieceFile(source))
