"""Budgets of memory that the threads of a process share: who needs more waits for its turn.

A limit on one film or tile bounds what one thread takes. These bound what all threads take at once,
so that a process stays within a bound whatever its inputs claim (docs/reliability.md).
"""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator


class MemoryBudget:
    """Bytes that several threads share; first come, first served.

    A request for more than all of it waits until it is alone, so the largest single request, or the
    budget, is what can be in use at a time. A thread that holds some must not ask for more of the
    same budget.

    Args:
      limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()
        self._waiting: collections.deque[object] = collections.deque()

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold memory while the body runs.

        Args:
          size: bytes that the body needs at most.
        """
        self.take(size)
        try:
            yield
        finally:
            self.give_back(size)

    def take(self, size: int) -> None:
        """Wait for memory; `give_back` has to follow, in any thread."""
        with self._changed:
            if self._waiting or not self._fits(size):
                ticket = object()
                self._waiting.append(ticket)
                try:
                    self._changed.wait_for(lambda: self._waiting[0] is ticket and self._fits(size))
                finally:
                    self._waiting.remove(ticket)
                    self._changed.notify_all()
            self._used += size

    def give_back(self, size: int) -> None:
        """Return memory that was taken."""
        with self._changed:
            self._used -= size
            if self._waiting:
                self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return not self._used or self._used + size <= self._limit


# Tiles and regions of slides, films and other images while they are decoded.
DECODING = MemoryBudget(2 << 30)
# Bytes of images as they are stored, from being read until they are decoded. Whoever holds some may
# ask `DECODING`.
READING = MemoryBudget(1 << 30)
# Data sets of DICOM that are stored deflated; likewise.
INFLATED = MemoryBudget(1 << 30)
# Masks and annotations while they are read; whoever holds `PLANNING` may ask it.
MASKS = MemoryBudget(3 << 30)
# Thumbnails, masks and grids while slides are planned. Whoever holds some may ask `DECODING`.
PLANNING = MemoryBudget(2 << 30)
