"""A gzip file as a stream of bytes that is checked, bounded, and read to its very end.

The standard library's `gzip` would do but for two things: it says the same of damage and of bytes
that follow a sound file, and it has no limit on how much a few bytes may become.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, BinaryIO

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.sources.archives.broken import BrokenArchiveError
from beamscope.transforms.sources.archives.magic import is_gzip

if TYPE_CHECKING:
    from beamscope.transforms.sources.archives.members import Limits

# zlib then expects the header of gzip, and checks its length and checksum (zlib's manual).
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_CHUNK = 16 << 10
_MOST_AT_ONCE = 1 << 20


class GzipStream:
    """Gzip members, one or more, that are read as one stream (RFC 1952, 2.2).

    Attributes:
      position: how many inflated bytes have been read.
      end: None, as the length of the stream is not known before it has been read.
    """

    end: int | None = None

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        """Read nothing yet; `file` is at its beginning."""
        self.position = 0
        self._file = file
        self._limits = limits
        self._engine = zlib.decompressobj(_GZIP_FORMAT)
        self._stored = self._inflated = 0
        self._damaged = False
        self._input = b""
        self._ready, self._used = b"", 0

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes; fewer only at the end.

        Raises:
          BrokenArchiveError: ``truncated_archive``, ``corrupt_archive``, ``trailing_data``, or
            ``compression_ratio`` when all of it so far inflates beyond the limits.
        """
        found = bytearray()
        while len(found) < size:
            if self._used == len(self._ready):
                self._ready, self._used = self._inflate(), 0
                if not self._ready:
                    break
            taken = self._ready[self._used : self._used + size - len(found)]
            self._used += len(taken)
            found += taken
        self.position += len(found)
        return bytes(found)

    def skip(self, size: int) -> int:
        """Read `size` bytes without keeping them, and return how many there were."""
        start = self.position
        while (left := start + size - self.position) and self.read(min(left, _MOST_AT_ONCE)):
            pass
        return self.position - start

    def _inflate(self) -> bytes:
        """Return some bytes; none at the end."""
        while True:
            if self._engine.eof and not self._begin_next_member():
                return b""
            if not self._input and not self._fetch():
                raise BrokenArchiveError(
                    Kind.TRUNCATED_ARCHIVE,
                    "its compressed data ends too early; what follows is lost",
                )
            if self._damaged:
                raise BrokenArchiveError(
                    Kind.CORRUPT_ARCHIVE,
                    "its compressed data is damaged, or does not match its checksum; "
                    "what follows is lost",
                )
            before = self._engine.copy()
            try:
                data = self._engine.decompress(self._input, _MOST_AT_ONCE)
                self._input = self._engine.unused_data or self._engine.unconsumed_tail
            except zlib.error:
                data, self._damaged = _until_damage(before, self._input), True
            if data:
                self._check_ratio(len(data))
                return data

    def _begin_next_member(self) -> bool:
        """Go on after a member: another one, zeroes of any length, or the end."""
        self._input = self._input.lstrip(b"\0")
        while not self._input:
            if not self._fetch():
                return False
            self._input = self._input.lstrip(b"\0")
        if len(self._input) == 1:
            first = self._input
            self._fetch()
            self._input = first + self._input
        if not is_gzip(self._input):
            raise BrokenArchiveError(
                Kind.TRAILING_DATA,
                "after its compressed data come bytes that are no gzip data; they are not read",
            )
        self._engine = zlib.decompressobj(_GZIP_FORMAT)
        return True

    def _fetch(self) -> bool:
        self._input = self._file.read(_CHUNK)
        self._stored += len(self._input)
        return bool(self._input)

    def _check_ratio(self, inflated: int) -> None:
        self._inflated += inflated
        # One member's worth is let through: what is too big for an image is skipped, not held.
        spare = self._limits.max_member_bytes
        if self._inflated > spare + self._limits.max_compression_ratio * self._stored:
            raise BrokenArchiveError(
                Kind.COMPRESSION_RATIO,
                f"it inflates by more than {self._limits.max_compression_ratio:g}; "
                "the members before that are read",
            )


def _until_damage(engine: zlib._Decompress, data: bytes) -> bytes:
    """Return what zlib gives before the byte at which it notices damage."""
    found = bytearray()
    for place in range(len(data)):
        try:
            found += engine.decompress(data[place : place + 1])
        except zlib.error:
            break
    return bytes(found)
