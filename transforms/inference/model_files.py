"""The files of a model: the local copy of a remote one, and a digest of their contents."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from beamscope.transforms.inference.cards.find_card import CARD_NAMES
from beamscope.transforms.inference.onnx_files import is_onnx, onnx_file, read_onnx
from beamscope.transforms.inference.served_models import (
    Version,
    local_names,
    several_models,
    version_of,
)
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from beamscope.transforms.storage.own_folder import make_own, own_folder

if TYPE_CHECKING:
    from beamscope.transforms.storage.cache import Lease

# Copies of models that lie about on a machine, all together.
_MAX_BYTES = 50 * 10**9

_WILDCARDS = frozenset("*?[\\")

# Each copy is kept for as long as the process, since TensorFlow reads some of its files late.
_leases: dict[str, Lease] = {}
_versions: dict[str, Version] = {}
_lock = threading.Lock()


def model_name(uri: str) -> str:
    """Return the last part of a model's path or URI, for messages."""
    return uri.rstrip("/").rpartition("/")[2] or uri


def model_bytes(uri: str) -> int:
    """Return the size of a model's files together.

    Raises:
      OSError: they cannot be listed.
    """
    return sum(file.size for file in files.list_files(uri))


def local_model(uri: str) -> Path:
    """Return the directory or the file of a model on this machine.

    A remote model is copied whole, once per process (TensorFlow's own client for gs:// neither
    honours STORAGE_EMULATOR_HOST nor shares Beam's credentials); the external data of an ONNX file
    comes along. The copy stays in the user's folder of the temporary directory. It serves later
    processes for as long as the remote files keep their names, sizes and versions, and until its
    room is needed. Of a directory of versions, as servers have them, only the highest is copied.

    Args:
      uri: a local path, or a URI in a store.

    Returns:
      where it lies; of a directory of versions, the highest of them.

    Raises:
      InputError: ``bad_model`` where nothing is there or it cannot be read; ``unsafe_folder``
        where others could change the copy; ``unknown_scheme``.
    """
    uri = files.normalize(uri)
    if files.is_local(uri):
        path = Path(uri)
        version = version_of(local_names(path))
        if version is not None:
            _versions[uri] = version
            path /= version.taken
        return _without_wildcards(path)
    with _lock:
        if uri not in _leases:
            _leases[uri] = _copy(uri)
        return _without_wildcards(_leases[uri].path)


def version_taken(uri: str) -> Version | None:
    """Return which version `local_model` has taken; None where there are none to choose from."""
    return _versions.get(files.normalize(uri))


def model_digest(path: Path) -> str:
    """Return the SHA-256 over the names and contents of a model's files, as 64 hex digits.

    It is the digest of the listing that `sha256sum` prints for the files in order of their names
    (relative, as UTF-8 bytes), so that any copy of a model has the same. Hidden files and folders
    are left out, and so are model cards. A model of a single file has the SHA-256 of its content,
    whatever its name. Of an ONNX model, whether its file or its directory is given, the files are
    the ONNX file and its external data.

    Raises:
      InputError: ``bad_model`` where an ONNX file cannot be read, or lacks external data.
    """
    paths = _files(path)
    if paths.keys() == {""}:
        with paths[""].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    listing = hashlib.sha256()
    for name in sorted(paths, key=os.fsencode):
        with paths[name].open("rb") as file:
            listing.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n".encode())
    return listing.hexdigest()


def _files(path: Path) -> dict[str, Path]:
    """Return the files of a model by their names; a single file has the empty one."""
    onnx = onnx_file(path)
    if onnx is not None:
        graph = read_onnx(onnx)
        graph.check_data()
        data = {name: onnx.parent / name for name in graph.data_files}
        return {onnx.name: onnx, **data} if data else {"": onnx}
    if path.is_file():
        return {"": path}
    return {
        found.relative_to(path).as_posix(): found
        for found in path.rglob("*")
        if found.is_file()
        and not any(part.startswith(".") for part in found.relative_to(path).parts)
        and not (found.parent == path and found.name in CARD_NAMES)
    }


def _without_wildcards(directory: Path) -> Path:
    """Return a path to a directory by which TensorFlow finds it.

    TensorFlow takes the path of a model for a glob when it looks for the variables, so that
    ``m[v2]`` has none. A link with a plain name leads around that.
    """
    if not directory.is_dir() or not _WILDCARDS.intersection(str(directory)):
        return directory
    target = directory.absolute()
    folder = own_folder("models")
    make_own(folder)
    link = folder / f"link-{hashlib.sha256(os.fsencode(target)).hexdigest()[:24]}"
    with contextlib.suppress(FileExistsError):  # The name is that of this target alone.
        link.symlink_to(target)
    return link


def _copy(uri: str) -> Lease:
    # It counts with Beam's metrics, and Beam is slow to import: only remote models need it.
    from beamscope.transforms.storage.cache import FileCache

    with files.refusals(Kind.BAD_MODEL, "model "):
        found = files.list_files(uri)
        if not found and not files.exists(uri):
            raise InputError(Kind.BAD_MODEL, f"model {uri}: there is no such file or directory")
        names = [file.path.removeprefix(files.join(uri, "")) for file in found]
        refusal = several_models(uri, names)
        version = version_of(names)
        if version is not None:
            _versions[uri] = version
            uri = files.join(uri, version.taken)
            found = [file for file in found if file.path.startswith(files.join(uri, ""))]
        elif refusal is not None:
            raise InputError(Kind.BAD_MODEL, f"model {uri}: {refusal}")
        found = found or [files.stat(uri)]
        # A model is a program: nobody else may be able to change the copy.
        cache = FileCache(
            own_folder("models"),
            _MAX_BYTES,
            own=True,
            holds="models",
            advice="remove what is not needed",
        )
        lease = cache.lease(uri, found)
        graph = read_onnx(lease.path) if is_onnx(uri) and lease.path.is_file() else None
        if graph is None or not graph.external:
            return lease
        # Only the graph tells which files belong to it; without its weights it is small.
        data = [_remote_data(uri, name) for name in graph.data_files]
        lease.release()
        return cache.lease(uri, found + data)


def _remote_data(uri: str, name: str) -> files.FileInfo:
    """Return a file of external data of a remote ONNX file."""
    place = files.join(uri.rpartition("/")[0], name)
    if not files.exists(place):
        raise InputError(
            Kind.BAD_MODEL,
            f"model {uri}: its external data {name} is not beside it: copy it to {place}",
        )
    return files.stat(place)
