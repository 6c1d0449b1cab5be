"""The slides that this process has open, shared by its threads."""

from __future__ import annotations

import functools
import threading

from transforms import files
from transforms.problems import InputError
from transforms.slides.reader import SlideReader

# A worker's blocks come from one or two slides at a time; each open one holds a 32 MB tile cache.
_MOST_OPEN = 4

_lock = threading.Lock()


def open_slide(uri: str) -> SlideReader:
    """The reader of a slide, opened on first use.

    Raises:
      InputError: ``missing_file``, ``not_a_slide``, ``unopenable``, or ``remote_slide`` for one
        that is not on a local or mounted disk.
    """
    if not files.is_local(uri):
        raise InputError("remote_slide", f"{uri}: slides are read from local or mounted disks only")
    # Two threads that want the same slide must not open it twice.
    with _lock:
        return _open(uri)


@functools.lru_cache(_MOST_OPEN)
def _open(uri: str) -> SlideReader:
    return SlideReader(uri)


def close_slides() -> None:
    """Forgets every open slide; each is closed when its last reader is done with it."""
    with _lock:
        _open.cache_clear()
