"""Ask for files anywhere, and read them."""

from __future__ import annotations

import io
from typing import IO

from beamscope.transforms.storage.remote_source import RemoteSource
from beamscope.transforms.storage.store import FileInfo, store_of
from beamscope.transforms.storage.stream_file import StreamFile
from beamscope.transforms.storage.uris import is_local, local_path, normalize


def stat(path: str) -> FileInfo:
    """Return the size of a file and, of a remote one, its version.

    Raises:
      OSError: there is no such file.
    """
    if is_local(path):
        status = local_path(path).stat()
        return FileInfo(path, status.st_size, modified=status.st_mtime)
    return store_of(path).stat(normalize(path))


def exists(path: str) -> bool:
    """Return whether there is a file (or, locally, a directory) of exactly that name."""
    if is_local(path):
        return local_path(path).exists()
    try:
        stat(path)
    except FileNotFoundError:
        return False
    return True


def size(path: str) -> int:
    """Return the size of a file in bytes.

    Raises:
      OSError: there is no such file.
    """
    return stat(path).size


def open_read(path: str) -> IO[bytes]:
    """Open a file for reading and seeking its bytes as they are stored, without decompression.

    A remote file is read by ranges, all of the version that is there when it is opened; where it
    is replaced meanwhile, reading raises InputError (``missing_file``).

    Raises:
      OSError: there is no such file, or it cannot be read.
    """
    if is_local(path):
        return local_path(path).open("rb")
    return io.BufferedReader(StreamFile(RemoteSource.of(stat(path)), path))


def read_bytes(path: str) -> bytes:
    """Return the whole content of a (small) file."""
    if is_local(path):
        return local_path(path).read_bytes()
    return store_of(path).read_whole(normalize(path))


def read_from(file: FileInfo, start: int = 0) -> bytes:
    """Return the bytes of a file from `start` on; of a remote one, of the version that is named.

    Raises:
      OSError: there is no such file, or it cannot be read.
      InputError: ``missing_file`` where a remote file has been replaced.
    """
    if is_local(file.path):
        with local_path(file.path).open("rb") as opened:
            opened.seek(start)
            return opened.read()
    return RemoteSource.of(file).read(start, file.size - start)
