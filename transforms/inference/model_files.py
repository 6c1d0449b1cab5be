"""The files of a model: a local copy of a remote one, and a digest of their contents."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage.own_folder import make_own, own_folder

if TYPE_CHECKING:
    from apache_beam.io.filesystem import FileMetadata

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_COPY_BYTES = 1 << 20

_copies: dict[str, Path] = {}
_copies_lock = threading.Lock()


def model_name(uri: str) -> str:
    """Return the last part of a model's path or URI, for messages."""
    return uri.rstrip("/").rpartition("/")[2] or uri


def local_model(uri: str) -> Path:
    """The directory of a SavedModel on this machine.

    A remote model is copied whole, once per process, with Beam's FileSystems (TensorFlow's own
    client for gs:// neither honours STORAGE_EMULATOR_HOST nor shares Beam's credentials). The copy
    stays in the user's folder of the temporary directory and serves later processes for as long
    as the remote files keep their names, sizes and times.

    Args:
      uri: a local path, returned as it is, or a URI with a scheme that Beam can read.

    Raises:
      InputError: ``bad_model`` where nothing is there or it cannot be read; ``unsafe_folder``
        where others could change the copy.
    """
    if not _SCHEME.match(uri):
        return Path(uri)
    with _copies_lock:
        if uri not in _copies:
            _copies[uri] = _copy(uri)
        return _copies[uri]


def model_digest(path: Path) -> str:
    """Return the SHA-256 over the names and contents of a model's files, as 64 hex digits.

    It is that of the listing which `sha256sum` prints for the files in order of their names
    (relative, as UTF-8 bytes), so that any copy of a model has the same. Hidden files and folders
    are left out. A model of a single file has the SHA-256 of its content, whatever its name.
    """
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    directory = path
    files = {
        path.relative_to(directory).as_posix(): path
        for path in directory.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    }
    listing = hashlib.sha256()
    for name in sorted(files, key=os.fsencode):
        with files[name].open("rb") as file:
            listing.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n".encode())
    return listing.hexdigest()


def _copy(uri: str) -> Path:
    # Beam is slow to import, and only remote models need it.
    from apache_beam.io.filesystem import BeamIOError, CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    root = uri.rstrip("/") + "/"
    try:
        listing = FileSystems.match([root + "**"])[0].metadata_list
    except (BeamIOError, ValueError) as error:  # ValueError: no file system has that scheme.
        raise InputError(
            Kind.BAD_MODEL, f"model {uri}: cannot be listed: {one_line(error)}"
        ) from error
    listing = [entry for entry in listing if not entry.path.endswith("/")]
    if not listing:
        raise InputError(Kind.BAD_MODEL, f"model {uri}: there is no such directory")

    cache = own_folder("models")  # A model is a program.
    make_own(cache)
    folder = cache / _listing_key(root, listing)
    target = folder / model_name(uri)
    if target.is_dir():
        return target
    folder.mkdir(exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        for entry in listing:
            path = partial / entry.path.removeprefix(root)
            path.parent.mkdir(parents=True, exist_ok=True)
            # As they are: by default Beam unpacks what is named .gz.
            source = FileSystems.open(entry.path, compression_type=CompressionTypes.UNCOMPRESSED)
            with source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink, _COPY_BYTES)
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster, with the same files
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _listing_key(root: str, listing: list[FileMetadata]) -> str:
    key = hashlib.sha256(root.encode())
    for entry in sorted(listing, key=lambda entry: entry.path):
        stamp = (entry.path, entry.size_in_bytes, entry.last_updated_in_seconds)
        key.update(repr(stamp).encode())
    return key.hexdigest()[:16]
