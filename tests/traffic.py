"""Counts of what a store on this machine was asked: requests and bytes, by kind."""

from __future__ import annotations

import collections
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

# A real store gives so many names in one answer at most; the emulator gives all in one.
NAMES_A_LISTING = 1_000

_lock = threading.Lock()
_counting: list[Traffic] = []
# How many lines of each file were counted.
_files: dict[Path, int] = {}


class Traffic:
    """What a store was asked.

    Attributes:
      requests: number of requests by kind: ``list``, ``stat``, ``range``, ``whole``, ``put``,
        ``delete`` or ``other``.
      bytes: bytes of the bodies of answers and, for ``put``, of requests, likewise.
      pages: number of listings, as a real store would have had to be asked for them.
      asked: (kind, name of the object or prefix) of each request, in order.
    """

    def __init__(self) -> None:
        self.requests: collections.Counter[str] = collections.Counter()
        self.bytes: collections.Counter[str] = collections.Counter()
        self.pages = 0
        self.asked: list[tuple[str, str]] = []

    @property
    def beside_listings(self) -> int:
        """Return the number of requests that are no listings."""
        return self.requests.total() - self.requests["list"]


@contextlib.contextmanager
def counted_traffic() -> Iterator[Traffic]:
    """Count what the emulators are asked, by any process, until the body ends."""
    traffic = Traffic()
    _take_lines()
    with _lock:
        _counting.append(traffic)
    try:
        yield traffic
    finally:
        _take_lines()
        with _lock:
            _counting.remove(traffic)


@contextlib.contextmanager
def also_from(path: Path) -> Iterator[None]:
    """Count the lines of JSON that a server of another process adds to a file, too.

    A line has the arguments of `note`.
    """
    _files[path] = 0
    try:
        yield
    finally:
        del _files[path]


def _take_lines() -> None:
    for path, taken in _files.items():
        lines = path.read_text().splitlines() if path.exists() else []
        _files[path] = len(lines)
        for line in lines[taken:]:
            note(*json.loads(line))


def note(kind: str, name: str, size: int, names: int = 0) -> None:
    """Count one request.

    Args:
      kind: see `Traffic`.
      name: of the object, or the prefix of a listing.
      size: bytes of its body.
      names: number of objects that a listing gave.
    """
    with _lock:
        for traffic in _counting:
            traffic.requests[kind] += 1
            traffic.bytes[kind] += size
            traffic.asked.append((kind, name))
            if kind == "list":
                traffic.pages += max(1, -(-names // NAMES_A_LISTING))
