"""Sources of images: archives, directories and loose files, local or in a bucket."""

from __future__ import annotations

import dataclasses
import itertools
import os
import posixpath
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Literal, cast

from beamscope.transforms.clutter import is_clutter
from beamscope.transforms.output.layout import WORK_DIRECTORY
from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.storage import files

SourceKind = Literal["zip", "tar", "tgz", "directory", "files"]

_ARCHIVES: tuple[tuple[str, SourceKind], ...] = (
    (".tar.gz", "tgz"),
    (".tgz", "tgz"),
    (".tar", "tar"),
    (".zip", "zip"),
)


@dataclasses.dataclass(frozen=True, order=True)
class Source:
    """One place that images come from.

    Attributes:
      id: unique among the sources of a run: the last parts of its uri, as few as tell it apart.
      uri: the archive, or the directory that the names of its members are relative to.
      kind: ``files`` are loose images, gathered under the directory that they have in common.
      names: the loose images; empty for every other kind, whose members are listed by reading it.
    """

    id: str
    uri: str
    kind: SourceKind
    names: tuple[str, ...] = ()

    @property
    def is_archive(self) -> bool:
        """Return whether it is one file, which its size identifies."""
        return self.kind not in ("directory", "files")

    def image_id(self, member: str) -> str:
        """Return the identity of an image that no catalogue names; it is unique in the dataset."""
        return f"{self.id}/{member}"


def archive_kind(uri: str) -> SourceKind | None:
    """Return the kind of archive that a name says; None for anything else."""
    lowered = uri.lower()
    return next((kind for suffix, kind in _ARCHIVES if lowered.endswith(suffix)), None)


def find_sources(uris: Iterable[str]) -> tuple[Source, ...]:
    """Sort files and directories into sources, in an order that does not depend on theirs.

    Archives are sources of their own, those found inside a directory too, but not those in trash
    and the like. Loose images of one file system are one source, so that a glob over a million
    files does not make a million blocks.

    Args:
      uris: paths or uris with every glob already expanded. A remote directory ends with a slash.

    Raises:
      InputError: ``missing_input`` for a local path that is not there.
    """
    kinds: dict[str, SourceKind] = {}
    folders: set[str] = set()
    loose: set[str] = set()
    for uri in uris:
        if not is_remote(uri) and not os.path.exists(uri):  # noqa: PTH110 (it never raises)
            raise InputError(Kind.MISSING_INPUT, f"{uri} does not exist")
        if is_directory(uri):
            folders.add(uri.rstrip("/") or "/")
        elif kind := archive_kind(uri):
            kinds[uri] = kind
        else:
            loose.add(uri)
    # A glob may name a directory and what is in it: no image is to be taken twice.
    for folder in folders:
        if not _is_below(folder, folders):
            kinds[folder] = "directory"
            # A folder inside that may not be opened becomes a problem when images are listed.
            names = (name for name, _ in list_directory(folder, lambda _error: None))
            inside = ((join(folder, name), archive_kind(name)) for name in names)
            kinds.update(
                {uri: kind for uri, kind in inside if kind and not is_clutter(uri[len(folder) :])}
            )
    groups = _gather(uri for uri in loose if not _is_below(uri, folders))
    places = sorted([*kinds, *groups])
    ids = _short_names(places)
    return tuple(
        Source(ids[place], place, kinds[place])
        if place in kinds
        else Source(ids[place], place, "files", groups[place])
        for place in places
    )


def _refuse_folder(error: OSError) -> None:
    raise InputError(Kind.UNREADABLE_FILE, one_line(error))


def list_directory(
    uri: str, refused: Callable[[OSError], None] = _refuse_folder
) -> list[tuple[str, int]]:
    """Return the name, relative to a directory, and the size in bytes of every file below it.

    They are sorted by name. The work of a job that writes its output there is left out. Links to
    directories are not followed, so that a loop cannot be entered. A link to nothing is listed,
    since it was to be a file.

    Args:
      uri: of the directory, local or remote.
      refused: called for each local folder that may not be opened.

    Raises:
      InputError: ``unreadable_file`` for such a folder, where `refused` is not given, and for a
        remote directory that may not be listed.
    """
    if not is_remote(uri):
        paths = (
            Path(folder, name)
            for folder, _, names in os.walk(uri, onerror=refused)
            # An output may lie among the images; the job's own work in it comes and goes.
            if WORK_DIRECTORY not in Path(folder).relative_to(uri).parts
            for name in names
        )
        entries = [
            (path.relative_to(uri).as_posix(), path.stat().st_size if path.is_file() else 0)
            for path in paths
            if path.is_file() or (path.is_symlink() and not path.exists())
        ]
    else:
        try:
            found = files.list_files(uri)
        except (FileNotFoundError, PermissionError) as error:
            raise InputError(Kind.UNREADABLE_FILE, one_line(error)) from None
        start = len(join(uri, ""))
        names = ((file.path[start:], file.size) for file in found)
        entries = [(name, size) for name, size in names if WORK_DIRECTORY not in name.split("/")]
    return sorted(entries)


def open_file(uri: str) -> BinaryIO:
    """Open a local or remote file for reading and seeking its bytes as they are stored.

    Raises:
      InputError: ``unreadable_file`` where it is missing or may not be read.
    """
    try:
        return cast(BinaryIO, files.open_read(uri))
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        # A store's errors begin with the uri, the system's end with it.
        message = f"{uri}: {error.strerror}" if error.strerror else one_line(error)
        raise InputError(Kind.UNREADABLE_FILE, message) from None


def is_remote(uri: str) -> bool:
    """Return whether a URI names an object of a store, such as gs://, and no file of a disk."""
    return not files.is_local(uri)


def is_directory(uri: str) -> bool:
    """Return whether a URI is a directory; a remote one says so with a slash at its end."""
    return uri.endswith("/") if is_remote(uri) else Path(uri).is_dir()


def join(directory: str, name: str) -> str:
    """Return the URI of a file below a directory."""
    return posixpath.join(directory, name)


def image_path(uri: str, member: str) -> str:
    """Return the whole path of an image, by the end of which a catalogue may name it.

    Args:
      uri: of the source; a relative one is taken from the current directory.
      member: of the source, as the archive gives its name.
    """
    return f"{uri if is_remote(uri) else os.path.abspath(uri)}/{member}"  # noqa: PTH100 (no links)


def _is_below(uri: str, folders: set[str]) -> bool:
    parent = posixpath.dirname(uri)
    while parent not in folders and posixpath.dirname(parent) != parent:
        parent = posixpath.dirname(parent)
    return parent in folders and parent != uri


def _gather(uris: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group loose images by file system, each relative to the directory that its group shares."""
    groups: dict[str, tuple[str, ...]] = {}
    for root, members in itertools.groupby(sorted(uris), key=_file_system):
        paths = [uri.removeprefix(root) for uri in members]
        folder = posixpath.commonpath([posixpath.dirname(path) for path in paths])
        names = tuple(posixpath.relpath(path, folder or ".") for path in paths)
        groups[root + folder] = names
    return groups


def _file_system(uri: str) -> str:
    """Return scheme, bucket and slash of a remote uri; "/" or "" for a local path."""
    if not is_remote(uri):
        return "/" if uri.startswith("/") else ""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/"


def _short_names(places: list[str]) -> dict[str, str]:
    """Return as few of the last parts of each place as tell all of them apart."""
    parts = [[part for part in place.split("/") if part] or ["."] for place in places]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(some[-depth:]) for some in parts]
        if len(set(names)) == len(places):
            return dict(zip(places, names, strict=True))
    return {place: place for place in places}
