"""Show a job's progress: a bar on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from tqdm import tqdm

from beamscope.transforms.output.progress import Progress, ProgressReader

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_BETWEEN_LINES = 30.0
# Reading the progress lists files. It may take at most a tenth of the time, whatever their number.
_REST_FACTOR = 10.0


@contextlib.contextmanager
def shown_progress(
    reader: ProgressReader, *, unit: str, items: str, stream: TextIO | None = None
) -> Iterator[None]:
    """Show the progress of a run until the body ends.

    Args:
      reader: reads the progress of the run.
      unit: plural noun for the rows: ``patches`` or ``films``.
      items: plural noun for the planned items: ``slides`` or ``sources``.
      stream: the output stream; None for standard error.
    """
    out = stream if stream is not None else sys.stderr
    show = _Bar(out, unit, items) if out.isatty() else _Lines(out, unit, items)
    stop = threading.Event()

    def watch() -> None:
        rest = _SECONDS_BETWEEN_LOOKS
        while not stop.wait(rest):
            start = time.monotonic()
            # The job itself says so where its storage fails.
            with contextlib.suppress(OSError):
                show.update(reader.read())
            rest = max(_SECONDS_BETWEEN_LOOKS, _REST_FACTOR * (time.monotonic() - start))

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    show.update(reader.read())
    watcher.start()
    try:
        yield
        show.update(reader.read())
    finally:
        stop.set()
        # A store that does not answer is waited for, for minutes, and nobody needs the figures now.
        watcher.join(timeout=5)
        show.close()


class _Bar:
    """A bar of the planned patches that are done, their rate, and the time left."""

    def __init__(self, stream: TextIO, unit: str, items: str) -> None:
        self._items = items
        self._bar = tqdm(file=stream, unit=f" {unit}", dynamic_ncols=True, smoothing=0.1)
        self._started = False

    def update(self, progress: Progress) -> None:
        if not self._started:
            # Rows that an earlier start finished must not count in the speed of this one.
            self._bar.initial = progress.rows_done
            self._started = True
        self._bar.total = progress.rows_planned
        self._bar.set_description(
            f"{progress.items_planned}/{progress.items} {self._items} planned", refresh=False
        )
        self._bar.n = progress.rows_done
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


class _Lines:
    """The same figures in plain lines, for logs."""

    def __init__(self, stream: TextIO, unit: str, items: str) -> None:
        self._stream = stream
        self._unit = unit
        self._items = items
        self._first: Progress | None = None
        self._started = time.monotonic()
        self._last_line = -float("inf")

    def update(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first, self._started = progress, now
        if now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        self._stream.write(self.line(progress, now - self._started) + "\n")
        self._stream.flush()

    def line(self, progress: Progress, seconds: float) -> str:
        assert self._first is not None  # update() has set it
        text = (
            f"{progress.items_planned}/{progress.items} {self._items} planned, "
            f"{progress.rows_done:,} of {progress.rows_planned:,} {self._unit} done"
        )
        done = progress.rows_done - self._first.rows_done
        if done and seconds > 0:
            speed = done / seconds
            left = (progress.rows_planned - progress.rows_done) / speed
            text += f", {speed:.1f} a second, {tqdm.format_interval(left)} left of what is planned"
        return text

    def close(self) -> None:
        pass
