"""Bytes of a slide in Google Cloud Storage, fetched by ranges; of one generation of the object."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from apache_beam.io.filesystems import FileSystems
from google.api_core.exceptions import Forbidden, NotFound, Unauthorized

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

SCHEME = "gs"

# What lies between two ranges is fetched with them where it is less than this. A request costs
# some 50 ms before its first byte, the time of a few MB; but bytes are what the reader is to spare.
MAX_GAP_BYTES = 64 << 10
# Ranges are joined up to about this length, so that several requests share what is much.
MAX_REQUEST_BYTES = 4 << 20
# Requests of a process that are under way at a time, for all slides; the client keeps ten
# connections open.
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
    """Joins ranges that are close to each other.

    Args:
      ranges: (offset, length) each, in any order; they may overlap, and be empty.
      max_gap: bytes between two ranges that are fetched for nothing, at most.
      max_length: beyond which nothing more is joined; a longer range is a span of its own.

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
    """One generation of an object, for use by several threads.

    An object that is replaced while it is read is an error, never a mix of two.

    Args:
      uri: ``gs://BUCKET/NAME``.
      generation: the one that is meant; None for the one that is there now.

    Attributes:
      size: length of the object, bytes.
      generation: of the object.
      bytes_fetched: so far.
      requests: so far.

    Raises:
      InputError: ``missing_file`` where there is no such object or generation (any more),
        ``unopenable`` where it may not be read.
    """

    def __init__(self, uri: str, generation: int | None = None) -> None:
        self._uri = uri
        bucket, _, self._name = uri.removeprefix(f"{SCHEME}://").partition("/")
        # Beam's own client: with the credentials and options by which all other files are read.
        client = FileSystems.get_filesystem(uri)._gcsIO().client
        self._bucket = client.bucket(bucket)
        try:
            found = self._bucket.get_blob(self._name, generation=generation)
        except (Forbidden, Unauthorized) as error:
            raise InputError(Kind.UNOPENABLE, f"{uri}: no permission to read") from error
        if found is None and generation is None:
            raise InputError(Kind.MISSING_FILE, f"{uri}: no such file")
        if found is None or generation not in (None, found.generation):
            raise self._gone(generation)
        self.size: int = found.size
        self.generation: int = found.generation
        self.bytes_fetched = 0
        self.requests = 0
        self._counting = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from `offset` on; fewer than `length` only where the object ends.

        Raises:
          InputError: ``missing_file`` where this generation is there no more.
        """
        end = min(offset + length, self.size)
        return self._fetch(offset, end) if offset < end else b""

    def request(self, ranges: Sequence[tuple[int, int]]) -> list[Callable[[], bytes]]:
        """Begins to fetch several (offset, length); those that are close, together.

        Returns:
          for each range what waits for its bytes, and gives or raises what `read` would.
        """
        waiting: list[Callable[[], bytes]] = [bytes] * len(ranges)
        # What reaches beyond the end is cut, what is empty then need not be fetched.
        inside = [
            (index, (offset, min(length, self.size - offset)))
            for index, (offset, length) in enumerate(ranges)
            if length > 0 and offset < self.size
        ]
        for span in join_ranges([pair for _, pair in inside]):
            fetched = _fetchers().submit(self._fetch, span.start, span.end)
            for number in span.ranges:
                index, (offset, length) = inside[number]
                waiting[index] = functools.partial(_part, fetched, offset - span.start, length)
        return waiting

    def close(self) -> None:
        """Nothing is held."""

    def _fetch(self, start: int, end: int) -> bytes:
        # Of its own: the client notes in it what it was answered.
        blob = self._bucket.blob(self._name, generation=self.generation)
        try:
            # As stored, whatever the object says of its encoding; ranges have no checksums.
            data: bytes = blob.download_as_bytes(
                start=start, end=end - 1, raw_download=True, checksum=None
            )
        except NotFound as error:
            raise self._gone(self.generation) from error
        if len(data) != end - start:
            raise ConnectionError(f"{self._uri}: {len(data)} bytes of {end - start} at {start}")
        with self._counting:
            self.bytes_fetched += len(data)
            self.requests += 1
        return data

    def _gone(self, generation: int | None) -> InputError:
        return InputError(
            Kind.MISSING_FILE, f"{self._uri}: replaced or deleted; generation {generation} is gone"
        )


def _part(fetched: Future[bytes], start: int, length: int) -> bytes:
    return fetched.result()[start : start + length]


@functools.cache
def _fetchers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_REQUESTS, thread_name_prefix="fetch-range")
