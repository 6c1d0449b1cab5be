"""Several files as one, for readers of things that lie in more than one file."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Sequence

from beamscope.transforms.storage.byte_source import ByteSource
from beamscope.transforms.storage.store import Version


class JoinedSource:
    """Files one behind the other, for use by several threads; see `ByteSource`.

    Args:
      sources: of the files; closed with this one.
      generation: what stands for the version of all of them.

    Attributes:
      starts: where each file begins.
    """

    def __init__(self, sources: Sequence[ByteSource], generation: Version | None) -> None:
        self._sources = tuple(sources)
        ends = list(itertools.accumulate(source.size for source in self._sources))
        self.starts: tuple[int, ...] = (0, *ends[:-1])
        self._size = ends[-1] if ends else 0
        self._generation = generation

    @property
    def size(self) -> int:
        """Length of all files together, bytes."""
        return self._size

    @property
    def generation(self) -> Version | None:
        """What stands for the version of all of them; None for local files."""
        return self._generation

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from `offset` on; fewer than `length` only where a file ends.

        What is read lies in one file: a range is cut where that ends.

        Raises:
          InputError: as the file's own source.
        """
        number = self._number(offset)
        return self._sources[number].read(offset - self.starts[number], length)

    def request(self, ranges: Sequence[tuple[int, int]]) -> list[Callable[[], bytes]]:
        """Begin to read several (offset, length), those of one file together; see `ByteSource`."""
        waiting: list[Callable[[], bytes]] = [bytes] * len(ranges)
        numbers = [self._number(offset) for offset, _ in ranges]
        for number in sorted(set(numbers)):
            mine = [index for index, other in enumerate(numbers) if other == number]
            start = self.starts[number]
            asked = [(ranges[index][0] - start, ranges[index][1]) for index in mine]
            for index, wait in zip(mine, self._sources[number].request(asked), strict=True):
                waiting[index] = wait
        return waiting

    def close(self) -> None:
        """Close the files."""
        for source in self._sources:
            source.close()

    def _number(self, offset: int) -> int:
        return max(0, bisect.bisect_right(self.starts, offset) - 1)
