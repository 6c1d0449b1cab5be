"""Show a job's progress: a bar on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from beamscope.pipelines.terminal.live import ACTIVITIES, LINE, LiveLine, fitting, width_of
from beamscope.pipelines.terminal.words import about
from beamscope.transforms.output.progress import Progress, ProgressReader

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_BETWEEN_LINES = 30.0
# Reading the progress lists files. It may take at most a tenth of the time, whatever their number.
_REST_FACTOR = 10.0
# The speed is that of the last ten minutes, from the end of one block to the end of another.
_MEMORY_SECONDS = 600.0
_BARS = (30, 12)


@contextlib.contextmanager
def shown_progress(
    reader: ProgressReader,
    *,
    unit: str,
    items: str,
    stream: TextIO | None = None,
    line: LiveLine | None = None,
) -> Iterator[None]:
    """Show the progress of a run until the body ends.

    Args:
      reader: reads the progress of the run.
      unit: plural noun for the rows: ``patches`` or ``films``.
      items: plural noun for the planned items: ``slides`` or ``sources``.
      stream: the output stream; None for standard error.
      line: the line of a terminal to show it on; None for that of this process.
    """
    out = stream if stream is not None else sys.stderr
    watched = Watched(unit, items)
    live = (line or LINE) if out.isatty() else None
    lines = None if live else _Lines(out, watched)
    stop = threading.Event()

    def look() -> None:
        watched.see(reader.read(), time.monotonic())
        if lines is not None:
            lines.write()

    def watch() -> None:
        rest = _SECONDS_BETWEEN_LOOKS
        while not stop.wait(rest):
            start = time.monotonic()
            # The job itself says so where its storage fails.
            with contextlib.suppress(OSError):
                look()
            rest = max(_SECONDS_BETWEEN_LOOKS, _REST_FACTOR * (time.monotonic() - start))

    ACTIVITIES.clear()
    look()
    if live is not None:
        live.show(watched.words)
    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
        look()
    finally:
        stop.set()
        # A store that does not answer is waited for, for minutes, and nobody needs the figures now.
        watcher.join(timeout=5)
        if live is not None:
            final = fitting(watched.words(), width_of(out) - 1)
            live.close()
            with live.lifted():
                out.write(f"{final}\n")


class Watched:
    """The progress of a run as it was seen, and what it lets expect.

    The time left is measured between the ends of blocks, so that neither the start nor the wait
    for the next block changes it: between two blocks it only counts down.

    Args:
      unit: plural noun for the rows.
      items: plural noun for the planned items.
      clock: returns the present time in seconds.
    """

    def __init__(self, unit: str, items: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._unit = unit
        self._items = items
        self._clock = clock
        self._now = Progress(0, 0, 0, 0)
        self._first_rows: int | None = None
        # (time, rows done) whenever there were more.
        self._seen: list[tuple[float, int]] = []

    def see(self, progress: Progress, moment: float) -> None:
        """Take note of the progress at a moment, in seconds of the clock."""
        if self._first_rows is None:
            self._first_rows = progress.rows_done
        elif progress.rows_done > self._now.rows_done:
            self._seen.append((moment, progress.rows_done))
            while self._seen[-1][0] - self._seen[0][0] > _MEMORY_SECONDS and len(self._seen) > 2:
                self._seen.pop(0)
        self._now = progress

    @property
    def rate(self) -> float | None:
        """Rows per second; None before the second block is finished."""
        if len(self._seen) < 2:
            return None
        (first, rows), (last, more) = self._seen[0], self._seen[-1]
        return (more - rows) / (last - first) if last > first else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until what is planned is done; None if it is unknown."""
        rate = self.rate
        if rate is None:
            return None
        left = (self._now.rows_planned - self._now.rows_done) / rate
        return max(0.0, left - (self._clock() - self._seen[-1][0]))

    def words(self) -> list[str]:
        """Return the line to show, the longest form first."""
        now = self._now
        begun = bool(self._seen)
        if not begun and (activity := ACTIVITIES.words()):
            return activity
        if now.items_planned < now.items and not begun:
            planned = f"planning {now.items_planned:,} of {now.items:,} {self._items}"
            found = f"{now.rows_planned:,} {self._unit} so far"
            return [f"{planned}, {found}", planned]
        share = now.rows_done / now.rows_planned if now.rows_planned else 0.0
        percent = f"{int(share * 100):3d}%"
        done = f"{now.rows_done:,} of {now.rows_planned:,} {self._unit}"
        left = self.left(begun)
        speed = f"{self.rate:,.1f}/s" if self.rate else ""
        planned = f"{now.items_planned:,} of {now.items:,} {self._items} planned"
        long, short = (_bar(share, cells) for cells in _BARS)
        forms = [
            (long, percent, done, speed, left, planned),
            (long, percent, done, speed, left),
            (short, percent, done, left),
            (short, percent, left),
            (percent, left),
            (percent,),
        ]
        return [", ".join(part for part in form if part).replace("], ", "] ", 1) for form in forms]

    def line(self) -> str:
        """Return a line for a log."""
        now = self._now
        text = (
            f"{now.items_planned:,}/{now.items:,} {self._items} planned, "
            f"{now.rows_done:,} of {now.rows_planned:,} {self._unit} done"
        )
        if self.rate:
            text += f", {self.rate:,.1f} a second, {self.left(True)} of what is planned"
        elif not self._seen and (activity := ACTIVITIES.words()):
            text += f"; {activity[-1]}"
        return text

    def left(self, begun: bool) -> str:
        """Return how long it takes from here, in words; empty if all is done."""
        if self._now.rows_planned and self._now.rows_done >= self._now.rows_planned:
            return ""
        seconds = self.seconds_left
        if seconds is None:
            return "time left not known yet" if begun else "reading the first block"
        return f"about {about(seconds)} left"


def _bar(share: float, cells: int) -> str:
    full = int(share * cells)
    return f"[{'#' * full}{'-' * (cells - full)}]"


class _Lines:
    """The same in plain lines, for logs."""

    def __init__(self, stream: TextIO, watched: Watched) -> None:
        self._stream = stream
        self._watched = watched
        self._last_line = -float("inf")

    def write(self) -> None:
        now = time.monotonic()
        if now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        self._stream.write(self._watched.line() + "\n")
        self._stream.flush()
