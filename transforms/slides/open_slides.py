"""The slides that this process has open, shared by its threads; remote ones by a local copy."""

from __future__ import annotations

import collections
import functools
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

from transforms import files
from transforms.file_cache import FileCache
from transforms.problems import InputError
from transforms.slides.native.slide import NativeSlide, open_native
from transforms.slides.native.source import LocalSource
from transforms.slides.read_block import ReadPatches
from transforms.slides.reader import SlideReader

# A worker's blocks come from one or two slides at a time; each open one holds a 32 MB tile cache.
_MOST_OPEN = 4


# Gone with the reader that they belong to.
_natives: weakref.WeakKeyDictionary[SlideReader, NativeSlide] = weakref.WeakKeyDictionary()
_opened: collections.OrderedDict[tuple[str, Any], SlideReader] = collections.OrderedDict()
# Two threads that want the same slide must not open, or fetch, it twice.
_lock = threading.Lock()


def open_slide(uri: str, cache: FileCache | None = None) -> SlideReader:
    """The reader of a slide, opened on first use.

    Args:
      uri: of the slide, local or remote.
      cache: where local copies of remote slides are kept, companions included.

    Raises:
      InputError: ``missing_file``, ``not_a_slide``, ``unopenable``; ``cache_full``, or
        ``remote_slide`` for a remote slide without a cache.
    """
    key = uri, _version(uri)
    with _lock:
        if key not in _opened:
            _opened[key] = _open(uri, cache)
        _opened.move_to_end(key)
        while len(_opened) > _MOST_OPEN:
            _opened.popitem(last=False)
        return _opened[key]


def _version(uri: str) -> tuple[int, int] | None:
    """What tells that a local file has been replaced since it was opened."""
    if not files.is_local(uri) or not Path(uri).exists():
        return None
    status = Path(uri).stat()
    return status.st_size, status.st_mtime_ns


def open_patches(uri: str, reader: str, cache: FileCache | None = None) -> ReadPatches:
    """What reads a slide's patches, by the reader that its plan has chosen.

    Args:
      uri: of the slide.
      reader: ``openslide``, ``native``, or ``native_scaled`` to let the decoder shrink tiles.
      cache: where local copies of remote slides are kept.

    Raises:
      InputError: as `open_slide`; ``not_native`` where the file is not what it was.
    """
    slide = open_slide(uri, cache)
    if reader == "openslide":
        return slide.read_patches
    with _lock:
        if slide not in _natives:
            _natives[slide] = open_native_of(slide)
        native = _natives[slide]
    return functools.partial(native.read_patches, scaled=reader == "native_scaled")


def open_native_of(slide: SlideReader) -> NativeSlide:
    """The native reader of a slide that OpenSlide has open, checked against what that sees.

    Raises:
      InputError: ``not_native``.
    """
    return open_native(
        LocalSource(slide.path),
        background=slide.background,
        level_dimensions=slide.level_dimensions,
    )


def close_slides() -> None:
    """Forgets every open slide; each is closed when its last reader is done with it."""
    with _lock:
        _opened.clear()


def _open(uri: str, cache: FileCache | None) -> SlideReader:
    if files.is_local(uri):
        return SlideReader(uri)
    if cache is None:
        raise InputError("remote_slide", f"{uri}: reading remote slides needs a cache")
    wanted = slide_files(uri)
    try:
        lease = cache.lease(uri, wanted)
    except InputError:
        # Slides that are open but idle may hold the room.
        _opened.clear()
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
      InputError: ``missing_file``.
    """
    folder, _, name = uri.rpartition("/")
    stem, _, ending = name.rpartition(".")
    if ending.lower() in ("dcm", "vms", "vmu"):
        companions = files.list_files(folder, recursive=False)
    elif ending.lower() == "mrxs":
        companions = files.list_files(f"{folder}/{stem}")
    else:
        companions = []
    try:
        return sorted({files.FileInfo(uri, files.size(uri)), *companions})
    except OSError as error:
        raise InputError("missing_file", f"{uri}: no such file") from error
