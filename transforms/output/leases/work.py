"""Keep a lease alive from the workers of a cluster, while they work."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Iterator

from beamscope.transforms.output.leases.lease_file import (
    BEAT_SECONDS,
    LOST,
    QUIET_ON_CLUSTER,
    TAKEN_OVER,
    LeaseKey,
    highest,
    with_beat,
    write,
)
from beamscope.transforms.problems import JobStoppedError


@contextlib.contextmanager
def kept_by_work(key: LeaseKey | None) -> Iterator[None]:
    """Keep a lease alive from a worker while the body runs.

    Raises:
      JobStoppedError: another job has taken it over.
    """
    begin_work(key)
    try:
        yield
    finally:
        end_work(key)


def begin_work(key: LeaseKey | None) -> None:
    """Keep a lease alive from this process until `end_work`; may be called more than once.

    Raises:
      JobStoppedError: another job has taken it over.
    """
    if key is not None and key.by_workers:
        _BEATS.begin(key)


def end_work(key: LeaseKey | None) -> None:
    """Say that what was begun has ended."""
    if key is not None and key.by_workers:
        _BEATS.end(key)


class _WorkersBeats:
    """The beats that a process writes while it works for a job on a cluster."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._working: dict[LeaseKey, int] = {}
        self._threads: set[tuple[int, LeaseKey]] = set()

    def begin(self, key: LeaseKey) -> None:
        if key in LOST:
            raise JobStoppedError(TAKEN_OVER.format(key.root))
        with self._lock:
            self._working[key] = self._working.get(key, 0) + 1
            if (os.getpid(), key) not in self._threads:
                self._threads.add((os.getpid(), key))
                thread = threading.Thread(target=self._keep, args=[key], daemon=True, name="lease")
                thread.start()

    def end(self, key: LeaseKey) -> None:
        with self._lock:
            self._working[key] = max(0, self._working.get(key, 0) - 1)

    def _keep(self, key: LeaseKey) -> None:
        while True:
            if self._working.get(key):
                with contextlib.suppress(OSError):
                    number, lease = highest(key)
                    if lease.token != key.token and not lease.released:
                        LOST.add(key)
                        return
                    if lease.token == key.token and not lease.released:
                        quiet = min(lease.quiet_seconds, QUIET_ON_CLUSTER)
                        kept = dataclasses.replace(lease, quiet_seconds=quiet)
                        write(key, number, with_beat(kept))
            time.sleep(BEAT_SECONDS)


_BEATS = _WorkersBeats()
