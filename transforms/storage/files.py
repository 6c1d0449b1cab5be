"""Files anywhere, on a local disk or in an object store, written so that none is ever half there.

Every function takes a path, a ``file://`` URI, or the URI of a store. All raise OSError where a
store refuses or does not answer (see `store.Store`), UnwritableError where a local disk cannot be
written to, and InputError (``unknown_scheme``) for a URI that no store has.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import globs, local_disk
from beamscope.transforms.storage.remote_source import RemoteSource
from beamscope.transforms.storage.scratch import scratch_prefix
from beamscope.transforms.storage.store import FileInfo, store_of
from beamscope.transforms.storage.stream_file import StreamFile
from beamscope.transforms.storage.uris import is_local, join, local_path, name_of, normalize

__all__ = [
    "FileInfo", "atomic_path", "copy_file", "create_if_absent", "delete", "delete_empty",
    "delete_temporaries", "delete_tree", "download", "exists", "is_directory", "is_local", "join",
    "list_files", "local_path", "match", "normalize", "open_read", "read_bytes", "read_from",
    "refusals", "size", "stat", "write_bytes",
]  # fmt: skip

TEMPORARY_SUFFIX = ".beamscope-tmp"
_COPY_BYTES = 8 << 20
# Pieces of a copy that are on their way at a time.
_COPIES_AHEAD = 4
# What file systems answer that have no hard links, such as some network mounts.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


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


def is_directory(path: str) -> bool:
    """Return whether a path names a directory; in a store, the beginning of an object's name."""
    if is_local(path):
        return local_path(path).is_dir()
    return any(True for _ in store_of(path).list(join(normalize(path), "")))


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


def delete(paths: Sequence[str]) -> None:
    """Delete files; one that does not exist is no error.

    Raises:
      OSError: some of them could not be deleted.
    """
    remote: dict[str, list[str]] = {}
    for path in paths:
        if is_local(path):
            with local_disk.writing(local_path(path)):
                local_path(path).unlink(missing_ok=True)
        else:
            uri = normalize(path)
            remote.setdefault(uri.partition("://")[0], []).append(uri)
    for uris in remote.values():
        store_of(uris[0]).delete(uris)


def delete_tree(directory: str) -> None:
    """Delete a directory with everything in it; one that does not exist is no error.

    Raises:
      OSError: some of it could not be deleted.
    """
    if is_local(directory):
        if local_path(directory).is_dir():
            with local_disk.writing(local_path(directory)):
                shutil.rmtree(local_path(directory))
        return
    folder = join(normalize(directory), "")
    delete([file.path for file in store_of(folder).list(folder)])


def delete_empty(directory: str) -> None:
    """Delete a local directory if there is nothing in it; a store has no empty directories."""
    if is_local(directory):
        # It is not there, or holds something.
        with contextlib.suppress(OSError):
            local_path(directory).rmdir()


def delete_temporaries(directory: str, *, recursive: bool = False) -> None:
    """Delete the half-written files that killed writers left in a local directory.

    Args:
      directory: where they are.
      recursive: whether to look in the directories below it too.
    """
    if is_local(directory):
        pattern = f"{'**/' * recursive}.*{TEMPORARY_SUFFIX}"
        for path in local_path(directory).glob(pattern):
            path.unlink(missing_ok=True)


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


@contextlib.contextmanager
def refusals(kind: Kind, prefix: str = "") -> Iterator[None]:
    """Turn an OSError of the body into an InputError of one line.

    Args:
      kind: of the InputError.
      prefix: of its message, such as ``--manifest ``.
    """
    try:
        yield
    except OSError as error:
        raise InputError(kind, f"{prefix}{one_line(error)}") from error
