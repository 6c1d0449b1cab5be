"""The slides that this process has open, shared by its threads."""

from __future__ import annotations

import collections
import threading
import weakref
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import NotServed, SlideReader
from beamscope.transforms.slides.readers.registry import READERS
from beamscope.transforms.storage.cache import FileCache
from beamscope.transforms.storage.store import Version

# One thread's blocks come from one or two slides at a time. OpenSlide holds a tile cache of 32 MB
# for each, the native reader where its tiles lie.
_LEAST_OPEN = 4

_T = TypeVar("_T")


class Pool(Generic[_T]):
    """A pool of open things: each is opened once, however many threads want it.

    A thing is opened outside the lock, so that an opening that takes long (a download) holds up
    only those who want that same thing. One that is dropped closes with its last user's reference.

    Args:
      least: how many are kept open at least. Where more threads than that have asked and are still
        alive, one a thread is kept: each block that is read at the same time finds its slide open.
    """

    def __init__(self, least: int = _LEAST_OPEN) -> None:
        self._least = least
        self._things: collections.OrderedDict[Hashable, Future[_T]] = collections.OrderedDict()
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._lock = threading.Lock()

    def get(self, key: Hashable, open_it: Callable[[], _T]) -> _T:
        """Return the thing of a key, and open it where it is not open yet.

        Raises:
          Exception: what `open_it` raises, to all who wait for it; the next call tries again.
        """
        with self._lock:
            self._threads.add(threading.current_thread())
            opening = self._things.get(key)
            mine = opening is None
            if opening is None:
                opening = self._things[key] = Future()
            self._things.move_to_end(key)
            self._drop()
        if mine:
            try:
                opening.set_result(open_it())
            except BaseException as error:
                with self._lock:
                    if self._things.get(key) is opening:
                        del self._things[key]
                opening.set_exception(error)
                raise
        return opening.result()

    def forget(self) -> None:
        """Drop all that is open; what is being opened goes to those who wait for it."""
        with self._lock:
            self._things.clear()

    def _drop(self) -> None:
        """Drop what was not asked for the longest, beyond the number that is kept."""
        most = max(self._least, sum(thread.is_alive() for thread in self._threads))
        for key in list(self._things):
            if len(self._things) <= most:
                return
            if self._things[key].done():
                del self._things[key]


_slides: Pool[SlideReader] = Pool()


def open_planned(
    reader: str, uri: str, *, cache: FileCache | None = None, version: Version | None = None
) -> SlideReader:
    """Return a slide opened by the reader that its plan has chosen, shared by this process.

    Args:
      reader: its name in the registry.
      uri: of the slide.
      cache: where local copies of remote slides are kept.
      version: of the remote object that was planned.

    Raises:
      InputError: as `SlideReader.open`; or the reader's refusal, where the file is not what it was.
    """
    kind = READERS.get(reader)

    def open_it() -> SlideReader:
        return or_error(kind.open(uri, cache=cache, version=version))

    return _slides.get(kind.key(uri, version), open_it)


def or_error(opened: SlideReader | NotServed) -> SlideReader:
    """Return an open slide.

    Raises:
      InputError: it is not one, but a reader's refusal.
    """
    if isinstance(opened, NotServed):
        raise InputError(opened.kind, opened.reason)
    return opened


def close_slides() -> None:
    """Drop every open slide; each closes when its last reader is done with it."""
    _slides.forget()
