"""Local copies of remote slides, for readers that need a path."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.slides.dicom_series import files_of_series
from beamscope.transforms.slides.readers.pool import close_slides
from beamscope.transforms.slides.slide_files import DICOM_ENDINGS
from beamscope.transforms.storage import files
from beamscope.transforms.storage.cache import FileCache, Lease
from beamscope.transforms.storage.store import Version


def lease_slide(uri: str, cache: FileCache | None, version: Version | None = None) -> Lease:
    """Copy a remote slide with its companions, or find the copy that is there.

    Args:
      uri: of the slide.
      cache: where copies are kept; None where there is none.
      version: of the remote object that is meant; None for any.

    Raises:
      InputError: ``remote_slide`` without a cache; ``cache_full``; ``missing_file``, also where
        another version is there now.
    """
    if cache is None:
        raise InputError(Kind.REMOTE_SLIDE, f"{uri}: reading remote slides needs a cache")
    wanted = slide_files(uri)
    if version is not None and all(file.version != version for file in wanted if file.path == uri):
        raise InputError(Kind.MISSING_FILE, f"{uri}: replaced since it was planned")
    return _lease(uri, wanted, cache)


def _lease(uri: str, wanted: Sequence[files.FileInfo], cache: FileCache) -> Lease:
    try:
        return cache.lease(uri, wanted)
    except InputError as error:
        if error.kind != Kind.CACHE_FULL:
            raise
    # Slides that are open but idle may hold the room.
    close_slides()
    gc.collect()
    return cache.lease(uri, wanted)


def slide_files(uri: str) -> list[files.FileInfo]:
    """List the files that make up a remote slide, the one that is opened among them.

    VMS and VMU slides have companions beside them, DICOM slides those of their series, and MRXS
    slides in a directory of their name.

    Raises:
      InputError: ``missing_file``, or ``unopenable`` where it may not be read.
    """
    folder, _, name = uri.rpartition("/")
    stem, _, ending = name.rpartition(".")
    try:
        if not ending or ending.isdigit() or f".{ending.lower()}" in DICOM_ENDINGS:
            return files_of_series(uri)
        if ending.lower() in ("vms", "vmu"):
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
