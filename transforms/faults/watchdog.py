"""A watchdog: what takes longer than allowed ends the process, since nothing else ends a thread."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import itertools
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

from beamscope.transforms.faults.run import HUNG

_TICK = 0.5
# How much later the kernel ends a process whose interpreter does not even let the watchdog run.
_GRACE = 30.0


@dataclasses.dataclass
class _Watched:
    what: str
    allowed: float
    late: Callable[[str], None]
    spent: float = 0.0


class _Watchdog:
    """One a process; its thread starts with the first thing that is watched."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, _Watched] = {}
        self._tickets = itertools.count()
        self._thread: threading.Thread | None = None
        self._process = 0

    def add(self, watched: _Watched) -> int:
        with self._lock:
            if self._process != os.getpid():
                self._process, self._watched = os.getpid(), {}
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            ticket = next(self._tickets)
            self._watched[ticket] = watched
        return ticket

    def remove(self, ticket: int) -> None:
        with self._lock:
            self._watched.pop(ticket, None)

    def _run(self) -> None:
        before = time.monotonic()
        armed = False
        while True:
            time.sleep(_TICK)
            now = time.monotonic()
            # A process that was stopped for an hour has not worked for an hour.
            passed, before = min(now - before, 4 * _TICK), now
            with self._lock:
                watched = list(self._watched.values())
            for one in watched:
                one.spent += passed
                if one.spent > one.allowed:
                    _end(one)
            if watched or armed:
                # C code that keeps the interpreter's lock stops this thread too; then the kernel
                # ends the process by SIGALRM.
                longest = max((one.allowed for one in watched), default=-_GRACE)
                signal.setitimer(signal.ITIMER_REAL, longest + _GRACE)
                armed = bool(watched)


def _end(one: _Watched) -> None:
    try:
        one.late(_stacks())
    finally:
        os._exit(HUNG)


def _stacks() -> str:
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read()


_WATCHDOG = _Watchdog()


@contextlib.contextmanager
def watched(what: str, seconds: float, late: Callable[[str], None]) -> Iterator[None]:
    """End the process, with status `HUNG`, if the body takes longer than allowed.

    Args:
      what: the body does, for people who look at a process.
      seconds: how long it may take; 0 for as long as it likes.
      late: called before the end, in another thread, with the stacks of all threads.
    """
    if not seconds:
        yield
        return
    ticket = _WATCHDOG.add(_Watched(what, seconds, late))
    try:
        yield
    finally:
        _WATCHDOG.remove(ticket)
