"""Write files anywhere, so that a reader sees all of one or none."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from beamscope.transforms.storage import local_disk
from beamscope.transforms.storage.scratch import scratch_prefix
from beamscope.transforms.storage.store import store_of
from beamscope.transforms.storage.uris import is_local, local_path, normalize

TEMPORARY_SUFFIX = ".beamscope-tmp"

# What file systems answer that have no hard links, such as some network mounts.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


def write_bytes(path: str, data: bytes) -> None:
    """Create or replace a file with `data`, so that a reader sees all of it or none.

    Raises:
      OSError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def atomic_path(path: str) -> Iterator[Path]:
    """Yield a local path to write to; on success its content appears under `path` at once.

    On a local disk the temporary file lies in the same directory and is renamed. For a store it
    lies in the temporary directory and is uploaded; an object becomes visible when its upload has
    ended. When the body raises, nothing appears.

    Raises:
      UnwritableError: the disk is full, read-only, or refuses the file, the temporary one included.
      OSError: a store refuses or does not answer; or as the body raises.
    """
    if is_local(path):
        target = local_path(path)
        with local_disk.writing(target):
            temporary = _beside(target)
        try:
            with local_disk.writing(target, temporary):
                yield temporary
            with local_disk.writing(target):
                _sync(temporary)
                local_disk.rename(temporary, target)
        finally:
            local_disk.remove(temporary)
        return
    store = store_of(path)
    with local_disk.writing(Path(tempfile.gettempdir())):
        directory = tempfile.mkdtemp(prefix=scratch_prefix())
    temporary = Path(directory) / "upload"
    try:
        with local_disk.writing(temporary, temporary):
            yield temporary
        store.upload(temporary, normalize(path))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def create_if_absent(path: str, data: bytes) -> bool:
    """Create a file unless there is one, and return whether this call has created it.

    Of several processes that call it at the same time, exactly one is told True. A reader sees all
    of the content or no file (on a disk without hard links, possibly a part of it).

    Raises:
      OSError: it cannot be written.
    """
    if not is_local(path):
        return store_of(path).create(normalize(path), data)
    target = local_path(path)
    with local_disk.writing(target):
        temporary = _beside(target)
        try:
            temporary.write_bytes(data)
            _sync(temporary)
            return _link(temporary, target)
        finally:
            local_disk.remove(temporary)


def _link(temporary: Path, target: Path) -> bool:
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            with target.open("xb") as file:
                file.write(temporary.read_bytes())
        except FileExistsError:
            return False
        _sync(target)
    return True


def _beside(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    # File systems count bytes, and a character may have four.
    return target.parent / f".{target.name[-40:]}.{uuid.uuid4().hex[:12]}{TEMPORARY_SUFFIX}"


def _sync(path: Path) -> None:
    # Without it a power cut can leave the new name with no content behind it.
    with path.open("rb") as file:
        os.fsync(file.fileno())
