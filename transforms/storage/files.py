"""Files anywhere that Beam reaches (a local disk, gs://), written so that none is ever half there.

Thin over Beam's `FileSystems`. What it adds is atomic creation on a local disk (object stores have
it by nature), and a local path for the libraries that need one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import hashlib
import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.storage.exceptions import InvalidResponse  # type: ignore[import-untyped]

TEMPORARY_SUFFIX = ".beamscope-tmp"


@dataclasses.dataclass(frozen=True, order=True)
class FileInfo:
    """A file that a listing found: its full path and its size in bytes."""

    path: str
    size: int


def is_local(path: str) -> bool:
    """Whether a path names a file of this machine rather than an object of a store."""
    return FileSystems.get_scheme(path) is None


def join(base: str, *parts: str) -> str:
    """Joins path components with the separator of the base's file system."""
    if is_local(base):
        return os.path.join(base, *parts)  # noqa: PTH118 (a Path would drop a trailing slash)
    return FileSystems.join(base, *parts)


def exists(path: str) -> bool:
    """Whether there is a file (or, locally, a directory) of exactly that name."""
    return bool(Path(path).exists() if is_local(path) else FileSystems.exists(path))


def size(path: str) -> int:
    """The size of a file in bytes.

    Raises:
      OSError: there is no such file.
    """
    if is_local(path):
        return Path(path).stat().st_size
    (found,) = FileSystems.match([glob.escape(path)])
    if not found.metadata_list:
        raise FileNotFoundError(f"{path}: no such file")
    return int(found.metadata_list[0].size_in_bytes)


def open_read(path: str) -> IO[bytes]:
    """Opens a file for reading bytes as they are stored, without decompression.

    Raises:
      OSError: there is no such file, or it cannot be read.
    """
    if is_local(path):
        return Path(path).open("rb")
    with _store_errors(path):
        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


@contextlib.contextmanager
def _store_errors(path: str) -> Iterator[None]:
    try:
        yield
    except (GoogleAPICallError, InvalidResponse) as error:
        raise OSError(f"{path}: {error}") from error


def read_bytes(path: str) -> bytes:
    """The whole content of a (small) file."""
    with open_read(path) as file:
        return file.read()


def write_bytes(path: str, data: bytes) -> None:
    """Creates or replaces a file with `data`, so that a reader sees all of it or none.

    Raises:
      OSError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def atomic_path(path: str) -> Iterator[Path]:
    """Yields a local path to write to; on success its content appears under `path` at once.

    On a local disk the temporary file lies in the same directory and is renamed; elsewhere it lies
    in the temporary directory and is uploaded, which object stores make visible at its end. When
    the body raises, nothing appears.
    """
    if is_local(path):
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = (
            # File systems count bytes, of which a character may have four.
            target.parent / f".{target.name[-40:]}.{uuid.uuid4().hex[:12]}{TEMPORARY_SUFFIX}"
        )
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(prefix="beamscope-") as directory:
        temporary = Path(directory) / "upload"
        yield temporary
        with (
            _store_errors(path),
            temporary.open("rb") as source,
            FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as target_file,
        ):
            shutil.copyfileobj(source, target_file, 8 << 20)


def _sync(path: Path) -> None:
    # Without it a power cut can leave the new name with no content behind it.
    with path.open("rb") as file:
        os.fsync(file.fileno())


def list_files(directory: str, *, recursive: bool = True) -> list[FileInfo]:
    """The files in a directory, sorted by path; one that does not exist holds none.

    Files that are still being written are left out.

    Args:
      directory: where to look.
      recursive: whether to look in the directories below it too.
    """
    if is_local(directory):
        walk = os.walk(directory)
        folders = walk if recursive else itertools.islice(walk, 1)
        found = [
            FileInfo(entry.path, entry.stat().st_size)
            for folder, _, _ in folders
            for entry in os.scandir(folder)
            # One that is being written may be gone before its size is asked for.
            if not entry.name.endswith(TEMPORARY_SUFFIX) and entry.is_file()
        ]
    else:
        (match,) = FileSystems.match([join(glob.escape(directory), "**" if recursive else "*")])
        found = [
            FileInfo(item.path, item.size_in_bytes)
            for item in match.metadata_list
            # An empty object of that form is how web consoles keep a folder.
            if not item.path.endswith("/")
        ]
    return sorted(found)


def match(pattern: str) -> list[FileInfo]:
    """The remote files that one of Beam's globs matches, sorted; all below it for a directory."""
    if pattern.endswith("/"):
        return list_files(pattern)
    (found,) = FileSystems.match([pattern])
    items = [FileInfo(item.path, item.size_in_bytes) for item in found.metadata_list]
    return sorted(items) or list_files(pattern)


def delete(paths: list[str]) -> None:
    """Deletes files; those already gone are no error."""
    for path in paths:
        if is_local(path):
            Path(path).unlink(missing_ok=True)
    remote = [path for path in paths if not is_local(path)]
    if remote:
        # Beam takes each path for a glob, and would delete whatever else it matches.
        FileSystems.delete([glob.escape(path) for path in remote])


def delete_tree(directory: str) -> None:
    """Deletes a directory with everything in it; one that is not there is no error.

    Raises:
      OSError: some of it could not be deleted.
    """
    if is_local(directory):
        if Path(directory).is_dir():
            shutil.rmtree(directory)
        return
    # With a slash at its end Beam deletes all below in batches, but only logs what it could not.
    with _store_errors(directory):
        FileSystems.delete([join(directory, "")])
    if left := list_files(directory):
        raise OSError(f"{directory}: {len(left)} files could not be deleted")


def delete_temporaries(directory: str) -> None:
    """Deletes what killed writers left half written in a local directory, not below it."""
    if is_local(directory):
        for path in Path(directory).glob(f".*{TEMPORARY_SUFFIX}"):
            path.unlink(missing_ok=True)


def download(uri: str, directory: Path) -> Path:
    """Copies a remote file into a local directory, atomically, and returns its path.

    A file that is already there under the same uri is not copied again.
    """
    name = uri.rstrip("/").rsplit("/", 1)[-1]
    target = directory / hashlib.sha256(uri.encode()).hexdigest()[:16] / name
    if not target.exists():
        with (
            open_read(uri) as source,
            atomic_path(str(target)) as temporary,
            temporary.open("wb") as copy,
        ):
            shutil.copyfileobj(source, copy, 8 << 20)
    return target
