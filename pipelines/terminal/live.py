"""One line at the bottom of a terminal that says what is going on, from the first second.

It fits into any width, also where the terminal does not tell its width.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from beamscope.transforms.activity import listening

_SECONDS_BETWEEN_DRAWINGS = 0.25
_SPINNER = "|/-\\"
# Where a terminal tells no width.
_WIDTH = 80
_ERASE = "\r\x1b[K"

# Returns candidates for the line, the longest first; the first that fits is shown.
Words = Callable[[], Sequence[str]]


class LiveLine:
    """A line of a terminal that a thread draws again and again until it is closed.

    On anything but a terminal it writes nothing.

    Args:
      stream: the terminal; None for standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._given = stream
        self._words: Words | None = None
        self._stop = threading.Event()
        # Reentrant: a message may be logged by the thread that draws.
        self._lock = threading.RLock()
        self._drawn = False
        self._turn = 0
        self._thread: threading.Thread | None = None

    @property
    def _stream(self) -> TextIO:
        # Looked up each time, because tests replace standard error.
        return sys.stderr if self._given is None else self._given

    def show(self, words: Words) -> None:
        """Draw what a function returns, now and from now on."""
        if not self._stream.isatty():
            return
        self._words = words
        self._draw()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="live line", daemon=True)
            self._thread.start()

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """Erase the line while the body writes to the terminal."""
        with self._lock:
            self._erase()
            yield

    def close(self) -> None:
        """Erase the line; `show` begins it again."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._erase()
            self._words = self._thread = None
            self._stop = threading.Event()

    def _run(self) -> None:
        stop = self._stop
        while not stop.wait(_SECONDS_BETWEEN_DRAWINGS):
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            words = self._words
            if words is None or self._stop.is_set():
                return
            self._turn += 1
            room = width_of(self._stream) - 1
            mark = _SPINNER[self._turn % len(_SPINNER)]
            self._write(_ERASE + fitting([f"{mark} {text}" for text in words()], room))
            self._drawn = True

    def _erase(self) -> None:
        if self._drawn:
            self._write(_ERASE)
            self._drawn = False

    def _write(self, text: str) -> None:
        # A terminal that is gone must not end the job.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def width_of(stream: TextIO) -> int:
    """Return the columns of a terminal; COLUMNS or 80 where it does not tell."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    if columns <= 0:
        given = os.environ.get("COLUMNS", "")
        columns = int(given) if given.isdigit() else 0
    return columns if columns > 1 else _WIDTH


def fitting(candidates: Sequence[str], room: int) -> str:
    """Return the first text that fits into so many columns, else the last one, cut."""
    for text in candidates:
        if len(text) <= room:
            return text
    return candidates[-1][:room]


class Activities:
    """What a process is doing, as `transforms.activity` says it, with the time it takes."""

    def __init__(self) -> None:
        self._stack: list[tuple[str, float]] = []

    def __call__(self, what: str | None) -> None:
        """Begin an activity, or with None end the one that was begun last."""
        if what is not None:
            self._stack.append((what, time.monotonic()))
        elif self._stack:
            self._stack.pop()

    def clear(self) -> None:
        """Forget what was begun."""
        self._stack.clear()

    def words(self) -> list[str]:
        """Return the present activity, without and with its seconds; empty if there is none."""
        try:
            what, since = self._stack[-1]
        except IndexError:
            return []
        return [f"{what}, {time.monotonic() - since:.0f} s", what]


LINE = LiveLine()
ACTIVITIES = Activities()


@contextlib.contextmanager
def activities_shown(first: str) -> Iterator[None]:
    """Show on the terminal what this process is doing, until the body ends.

    Args:
      first: the activity to show until the process says another.
    """
    with listening(ACTIVITIES):
        ACTIVITIES(first)
        LINE.show(lambda: ACTIVITIES.words() or ["working"])
        try:
            yield
        finally:
            ACTIVITIES(None)
            LINE.close()
