"""An object of a store as a seekable file that reads ahead where it is read from end to end."""

from __future__ import annotations

from collections.abc import Callable

from beamscope.transforms.storage.byte_source import ByteSource, SourceFile

# The first piece after a jump: a header, and often the whole of a small file.
_FIRST_BYTES = 128 << 10
# Pieces double up to this while they are read one after the other.
_MOST_BYTES = 4 << 20
# A jump forward that is no longer than this counts as reading on: fetching what lies between costs
# less than the 50 ms of another request.
_MAX_SKIP_BYTES = 1 << 20
# The next piece is fetched while one of at least this size is used.
_AHEAD_BYTES = 512 << 10


class StreamFile(SourceFile):
    """A file over a source of bytes; not for several threads.

    Reading from end to end costs a request for every 4 MiB, each made while the piece before is
    used. Reading here and there costs a request of 128 KiB for each place, or one of the length
    that is asked for where that is more.

    Attributes:
      name: of the file, which some libraries ask for.
      mode: likewise.
    """

    mode = "rb"

    def __init__(self, source: ByteSource, name: str = "") -> None:
        self.name = name
        super().__init__(source)
        self._start = 0
        self._piece = b""
        self._step = _FIRST_BYTES
        self._ahead: tuple[int, Callable[[], bytes]] | None = None

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as the piece at hand goes, and return the number of bytes."""
        if not len(buffer) or self._position >= self._source.size:
            return 0
        if not self._start <= self._position < self._start + len(self._piece):
            self._fetch(len(buffer))
        at = self._position - self._start
        data = memoryview(self._piece)[at : at + len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _fetch(self, wanted: int) -> None:
        end = self._start + len(self._piece)
        if self._ahead and self._ahead[0] <= self._position <= self._ahead[0] + _MAX_SKIP_BYTES:
            self._start, wait = self._ahead
            self._ahead = None
            self._piece = wait()
            if self._position < self._start + len(self._piece):
                self._read_ahead()
                return
            end = self._start + len(self._piece)
        self._ahead = None
        reads_on = bool(self._piece) and 0 <= self._position - end <= _MAX_SKIP_BYTES
        self._step = min(2 * self._step, _MOST_BYTES) if reads_on else _FIRST_BYTES
        self._start = self._position
        self._piece = self._source.read(self._position, max(wanted, self._step))
        if reads_on:
            self._read_ahead()

    def _read_ahead(self) -> None:
        """Begin to fetch the next piece."""
        start = self._start + len(self._piece)
        step = min(2 * self._step, _MOST_BYTES)
        if step >= _AHEAD_BYTES and start < self._source.size:
            self._step = step
            (wait,) = self._source.request([(start, self._step)])
            self._ahead = start, wait
