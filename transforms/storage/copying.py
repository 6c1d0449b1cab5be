"""Copy a file from anywhere to a local path."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

from beamscope.transforms.storage import local_disk
from beamscope.transforms.storage.reading import stat
from beamscope.transforms.storage.remote_source import RemoteSource
from beamscope.transforms.storage.store import FileInfo
from beamscope.transforms.storage.uris import is_local, local_path, name_of
from beamscope.transforms.storage.writing import atomic_path

_COPY_BYTES = 8 << 20

# Pieces of a copy that are on their way at a time.
_COPIES_AHEAD = 4


def copy_file(file: FileInfo, target: Path) -> None:
    """Copy a file to a local path, all of it of the version that `file` names.

    Raises:
      OSError: it cannot be read.
      InputError: ``missing_file`` where a remote file has been replaced.
    """
    if is_local(file.path):
        with local_disk.writing(target, target):
            shutil.copyfile(local_path(file.path), target)
        return
    source = RemoteSource.of(file if file.version is not None else stat(file.path))
    offsets = iter(range(0, source.size, _COPY_BYTES))
    with local_disk.writing(target, target), target.open("wb") as copy:
        waiting = [_ask(source, offset) for offset in itertools.islice(offsets, _COPIES_AHEAD)]
        while waiting:
            copy.write(waiting.pop(0)())
            waiting += [_ask(source, offset) for offset in itertools.islice(offsets, 1)]


def _ask(source: RemoteSource, offset: int) -> Callable[[], bytes]:
    (wait,) = source.request([(offset, _COPY_BYTES)])
    return wait


def download(uri: str, directory: Path) -> Path:
    """Copy a remote file into a local directory, atomically, and return its path.

    A file that is already there under the same uri is not copied again.

    Raises:
      OSError: it cannot be read.
    """
    target = directory / hashlib.sha256(uri.encode()).hexdigest()[:16] / name_of(uri)
    if not target.exists():
        found = stat(uri)
        with atomic_path(str(target)) as temporary:
            copy_file(found, temporary)
    return target
