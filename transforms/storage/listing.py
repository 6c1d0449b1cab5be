"""List the files of a directory, or those that a pattern names."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator

from beamscope.transforms.storage import globs
from beamscope.transforms.storage.store import FileInfo, store_of
from beamscope.transforms.storage.uris import is_local, join, local_path, normalize
from beamscope.transforms.storage.writing import TEMPORARY_SUFFIX


def is_directory(path: str) -> bool:
    """Return whether a path names a directory; in a store, the beginning of an object's name."""
    if is_local(path):
        return local_path(path).is_dir()
    return any(True for _ in store_of(path).list(join(normalize(path), "")))


def list_files(directory: str, *, recursive: bool = True) -> list[FileInfo]:
    """Return the files in a directory, sorted by path; one that does not exist holds none.

    Files that are still being written are left out. So are the empty objects, with a slash at the
    end of their names, that consoles of stores make to show a folder. Links to directories are not
    followed.

    Args:
      directory: where to look.
      recursive: whether to look in the directories below it too.

    Raises:
      OSError: the directory cannot be listed, or there is no such bucket.
    """
    if is_local(directory):
        return sorted(_walk(str(local_path(directory)), recursive=recursive))
    folder = join(normalize(directory), "")
    return sorted(_files(store_of(folder).list(folder, recursive=recursive)))


def _walk(directory: str, *, recursive: bool) -> Iterator[FileInfo]:
    walk = os.walk(directory, onerror=_raise_unless_absent)
    for folder, _, _ in walk if recursive else itertools.islice(walk, 1):
        for entry in os.scandir(folder):
            # A file that is being written may be gone before its size is asked for.
            if not entry.name.endswith(TEMPORARY_SUFFIX) and entry.is_file():
                status = entry.stat()
                yield FileInfo(entry.path, status.st_size, modified=status.st_mtime)


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _files(found: Iterator[FileInfo]) -> Iterator[FileInfo]:
    return (file for file in found if not file.path.endswith("/"))


def match(pattern: str) -> list[FileInfo]:
    """Return the remote files that a pattern names, sorted by path.

    A pattern is first of all a name, with its brackets: of an object, or else of a directory, for
    which all files below it are returned. Only then is it a glob (see `globs.compile_glob`).

    Raises:
      OSError: the store refuses, or there is no such bucket.
    """
    pattern = normalize(pattern)
    store = store_of(pattern)
    if not pattern.endswith("/"):
        with contextlib.suppress(FileNotFoundError):
            return [store.stat(pattern)]
    if found := list_files(pattern):
        return found
    if not globs.has_wildcard(pattern):
        return []
    fixed = globs.fixed_part(pattern)
    rest = pattern[len(fixed) :]
    # The objects in the folders below need not be listed for a glob that ends in this one.
    listed = store.list(fixed, recursive="/" in rest or "**" in rest)
    matches = globs.compile_glob(rest).fullmatch
    return sorted(file for file in _files(listed) if matches(file.path[len(fixed) :]))
