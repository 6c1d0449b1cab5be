"""The slides that this process has open, shared by its threads.

The native reader takes the bytes that it needs from where they are. OpenSlide needs a path, so that
a remote slide is copied whole for it.
"""

from __future__ import annotations

import collections
import functools
import gc
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.readers.native.slide import NativeSlide, open_native
from beamscope.transforms.slides.readers.openslide_reader import OpenedSlide, SlideReader
from beamscope.transforms.slides.readers.read_block import ReadPatches
from beamscope.transforms.storage import files
from beamscope.transforms.storage.byte_source import LocalSource
from beamscope.transforms.storage.cache import FileCache
from beamscope.transforms.storage.remote_source import RemoteSource
from beamscope.transforms.storage.store import Version

# A worker's blocks come from one or two slides at a time; OpenSlide holds a tile cache of 32 MB for
# each, the native reader where its tiles lie.
_MOST_OPEN = 4

_Slide = TypeVar("_Slide", SlideReader, NativeSlide)


class _Pool(Generic[_Slide]):
    """The slides that were used last; one is closed when its last user is done with it."""

    def __init__(self) -> None:
        self._open: collections.OrderedDict[Hashable, _Slide] = collections.OrderedDict()
        # Two threads that want the same slide must not open, or fetch, it twice.
        self._lock = threading.RLock()

    def get(self, key: Hashable, open_it: Callable[[], _Slide]) -> _Slide:
        with self._lock:
            if key not in self._open:
                self._open[key] = open_it()
            self._open.move_to_end(key)
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
            return self._open[key]

    def clear(self) -> None:
        with self._lock:
            self._open.clear()


_whole: _Pool[SlideReader] = _Pool()
_native: _Pool[NativeSlide] = _Pool()


def open_to_plan(uri: str, reader: str, cache: FileCache | None = None) -> OpenedSlide:
    """A slide as one of the readers sees it, for its plan.

    Args:
      uri: of the slide, local or remote.
      reader: ``openslide`` or ``native``.
      cache: where local copies of remote slides are kept.

    Raises:
      InputError: as `open_slide`; ``not_native`` where the native reader does not give what
        OpenSlide gives.
    """
    if reader == "openslide":
        # A local slide is opened for its plan alone: a pool would keep it open.
        return SlideReader(uri) if files.is_local(uri) else open_slide(uri, cache)
    if not files.is_local(uri):
        return open_native(_remote_source(uri))
    # OpenSlide says what is wrong with a file, and is at hand to compare with.
    plain = SlideReader(uri)
    slide = open_native(LocalSource(uri))
    _check_alike(slide, plain)
    return slide


def open_slide(uri: str, cache: FileCache | None = None) -> SlideReader:
    """OpenSlide's reader of a slide, opened on first use.

    Args:
      uri: of the slide, local or remote.
      cache: where local copies of remote slides are kept, companions included.

    Raises:
      InputError: ``missing_file``, ``not_a_slide``, ``unopenable``; ``cache_full``, or
        ``remote_slide`` for a remote slide without a cache.
    """
    return _whole.get((uri, _version(uri)), functools.partial(_open_whole, uri, cache))


def open_patches(
    uri: str, reader: str, cache: FileCache | None = None, generation: Version | None = None
) -> ReadPatches:
    """What reads a slide's patches, by the reader that its plan has chosen.

    Args:
      uri: of the slide.
      reader: ``openslide``, ``native``, or ``native_scaled`` to let the decoder shrink tiles.
      cache: where OpenSlide's local copies of remote slides are kept.
      generation: of the remote slide that was planned, where the native reader reads it.

    Raises:
      InputError: as `open_slide`; ``not_native`` where the file is not what it was.
    """
    if reader == "openslide":
        return open_slide(uri, cache).read_patches

    def open_it() -> NativeSlide:
        local = files.is_local(uri)
        return open_native(LocalSource(uri) if local else _remote_source(uri, generation))

    slide = _native.get((uri, generation, _version(uri)), open_it)
    return functools.partial(slide.read_patches, scaled=reader == "native_scaled")


def close_slides() -> None:
    """Forgets every open slide; each is closed when its last reader is done with it."""
    _whole.clear()
    _native.clear()


def _version(uri: str) -> tuple[int, int] | None:
    """What tells that a local file has been replaced since it was opened."""
    if not files.is_local(uri):
        return None
    try:
        status = Path(uri).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size, status.st_mtime_ns


def _remote_source(uri: str, generation: Version | None = None) -> RemoteSource:
    return RemoteSource(uri, generation)


def _check_alike(native: NativeSlide, plain: SlideReader) -> None:
    """Refuses a slide of which OpenSlide says something else than the native reader."""
    if native.level_dimensions != plain.level_dimensions:
        reason = f"levels {native.level_dimensions}, in OpenSlide {plain.level_dimensions}"
        raise InputError(Kind.NOT_SERVED, reason)
    names = ["vendor", "mpp-x", "mpp-y", "objective-power", "background-color", "bounds-x"]
    for name in (f"openslide.{name}" for name in names):
        ours, theirs = native.properties.get(name), plain.properties.get(name)
        if ours != theirs:
            raise InputError(Kind.NOT_SERVED, f"{name} {ours}, in OpenSlide {theirs}")


def _open_whole(uri: str, cache: FileCache | None) -> SlideReader:
    if files.is_local(uri):
        return SlideReader(uri)
    if cache is None:
        raise InputError(Kind.REMOTE_SLIDE, f"{uri}: reading remote slides needs a cache")
    wanted = slide_files(uri)
    try:
        lease = cache.lease(uri, wanted)
    except InputError:
        # Slides that are open but idle may hold the room.
        _whole.clear()
        gc.collect()
        lease = cache.lease(uri, wanted)
    try:
        return SlideReader(lease.path, keep=lease)
    except InputError as error:
        raise InputError(error.kind, error.message.replace(str(lease.path), uri)) from error


def slide_files(uri: str) -> list[files.FileInfo]:
    """The files that make up a remote slide, the one that is opened among them.

    DICOM, VMS and VMU slides have companions beside them, MRXS slides in a directory of their name.

    Raises:
      InputError: ``missing_file``, or ``unopenable`` where it may not be read.
    """
    folder, _, name = uri.rpartition("/")
    stem, _, ending = name.rpartition(".")
    try:
        if ending.lower() in ("dcm", "vms", "vmu"):
            companions = files.list_files(folder, recursive=False)
        elif ending.lower() == "mrxs":
            companions = files.list_files(f"{folder}/{stem}")
        else:
            companions = []
        return sorted({files.stat(uri), *companions})
    except FileNotFoundError as error:
        raise InputError(Kind.MISSING_FILE, f"{uri}: no such file") from error
    except PermissionError as error:
        raise InputError(Kind.UNOPENABLE, one_line(error)) from error
