"""Bytes of an object in a store, fetched by ranges; all of one version of it."""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, UnavailableError, one_line
from beamscope.transforms.storage.store import FileInfo, ReplacedError, Version, store_of

# Bytes between two ranges are fetched with them where they are fewer than this. A request costs
# some 50 ms before its first byte, the time of a few MB; but a reader by ranges wants few bytes.
MAX_GAP_BYTES = 64 << 10
# Ranges are joined up to about this length, so that a long run of them becomes several requests.
MAX_REQUEST_BYTES = 4 << 20
# Requests that a process has under way at a time, for all objects.
_MOST_REQUESTS = 8


@dataclasses.dataclass(frozen=True)
class Span:
    """Bytes that are fetched by one request.

    Attributes:
      start: of the first byte.
      end: after the last one.
      ranges: indices of the ranges that lie in it.
    """

    start: int
    end: int
    ranges: tuple[int, ...]


def join_ranges(
    ranges: Sequence[tuple[int, int]],
    *,
    max_gap: int = MAX_GAP_BYTES,
    max_length: int = MAX_REQUEST_BYTES,
) -> list[Span]:
    """Return the requests that fetch some ranges, those that are close to each other together.

    Args:
      ranges: (offset, length) each, in any order; they may overlap, and be empty.
      max_gap: most bytes between two ranges that are fetched and thrown away.
      max_length: nothing is joined to more than this; a longer range is a span of its own.

    Returns:
      the spans, by start; every range lies wholly in the one that has its index.
    """
    spans: list[Span] = []
    for index in sorted(range(len(ranges)), key=lambda i: ranges[i]):
        start, end = ranges[index][0], sum(ranges[index])
        last = spans[-1] if spans else None
        joined_end = max(end, last.end) if last else end
        if last and start - last.end <= max_gap and joined_end - last.start <= max_length:
            spans[-1] = Span(last.start, joined_end, (*last.ranges, index))
        else:
            spans.append(Span(start, end, (index,)))
    return spans


class RemoteSource:
    """One version of an object, for use by several threads.

    An object that is replaced while it is read is an error, never a mix of two.

    Args:
      uri: ``gs://BUCKET/NAME`` or ``s3://BUCKET/NAME``.
      generation: the version that is meant; None for the one that is there now.

    Attributes:
      size: length of the object, bytes.
      generation: of the object: an int from Google's store, the ETag from S3.
      bytes_fetched: so far.
      requests: so far.

    Raises:
      InputError: ``missing_file`` where there is no such object or version (any more),
        ``unopenable`` where it may not be read.
    """

    def __init__(self, uri: str, generation: Version | None = None) -> None:
        try:
            found = store_of(uri).stat(uri)
        except FileNotFoundError as error:
            if generation is None:
                raise InputError(Kind.MISSING_FILE, f"{uri}: no such file") from error
            raise _gone(uri, generation) from error
        except PermissionError as error:
            raise _forbidden(error) from error
        if generation not in (None, found.version):
            raise _gone(uri, generation)
        self._begin(found)

    @classmethod
    def of(cls, found: FileInfo) -> RemoteSource:
        """Return the source of an object whose size and version are known; nothing is asked."""
        source = cls.__new__(cls)
        source._begin(found)
        return source

    def _begin(self, found: FileInfo) -> None:
        assert found.version is not None
        self._uri = found.path
        self._store = store_of(found.path)
        self.size: int = found.size
        self.generation: Version = found.version
        self.bytes_fetched = 0
        self.requests = 0
        self._counting = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes from `offset` on; fewer than `length` only where the object ends.

        Raises:
          InputError: ``missing_file`` where this version is there no more, ``unopenable`` where
            the permission is gone.
        """
        end = min(offset + length, self.size)
        return self._fetch(offset, end) if offset < end else b""

    def request(self, ranges: Sequence[tuple[int, int]]) -> list[Callable[[], bytes]]:
        """Begin to fetch several (offset, length); those that are close, together.

        Returns:
          for each range a function that waits for its bytes, and returns or raises as `read` does.
        """
        waiting: list[Callable[[], bytes]] = [bytes] * len(ranges)
        # A range is cut at the end of the object; one that is empty then need not be fetched.
        inside = [
            (index, (offset, min(length, self.size - offset)))
            for index, (offset, length) in enumerate(ranges)
            if length > 0 and offset < self.size
        ]
        for span in join_ranges([pair for _, pair in inside]):
            fetched = _fetchers(os.getpid()).submit(self._fetch, span.start, span.end)
            for number in span.ranges:
                index, (offset, length) = inside[number]
                waiting[index] = functools.partial(_part, fetched, offset - span.start, length)
        return waiting

    def close(self) -> None:
        """Do nothing: no connection belongs to a source."""

    def _fetch(self, start: int, end: int) -> bytes:
        try:
            data = self._store.read(self._uri, start, end, self.generation)
        except ReplacedError as error:
            raise _gone(self._uri, self.generation) from error
        except PermissionError as error:
            raise _forbidden(error) from error
        if len(data) != end - start:
            raise UnavailableError(f"{self._uri}: {len(data)} bytes of {end - start} at {start}")
        with self._counting:
            self.bytes_fetched += len(data)
            self.requests += 1
        return data


def _gone(uri: str, generation: Version | None) -> InputError:
    return InputError(
        Kind.MISSING_FILE, f"{uri}: replaced or deleted; generation {generation} is gone"
    )


def _forbidden(error: OSError) -> InputError:
    return InputError(Kind.UNOPENABLE, one_line(error))


def _part(fetched: Future[bytes], start: int, length: int) -> bytes:
    return fetched.result()[start : start + length]


@functools.cache
def _fetchers(process: int) -> ThreadPoolExecutor:
    # The threads of a parent are not there in a process that it has forked.
    del process
    return ThreadPoolExecutor(_MOST_REQUESTS, thread_name_prefix="fetch-range")
