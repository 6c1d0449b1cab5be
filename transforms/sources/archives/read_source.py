"""List and read sources of every kind: the members for a plan, a member as bytes."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError, one_line
from beamscope.transforms.sources.archives.members import (
    Entry,
    Limits,
    Listing,
    Member,
    image_problem,
    make_listing,
)
from beamscope.transforms.sources.archives.tars import list_tar, read_tar_member, stream_tar_gz
from beamscope.transforms.sources.archives.zips import list_zip, read_zip_member
from beamscope.transforms.sources.names import ImageNames
from beamscope.transforms.sources.sources import (
    Source,
    is_remote,
    join,
    list_directory,
    open_file,
)


def list_members(source: Source, limits: Limits, names: ImageNames) -> Listing:
    """List the images of a source without reading them: a central directory, headers, or names.

    A source that cannot be opened is a listing of nothing with one problem.

    Raises:
      ValueError: for a tar.gz, which has no listing: `stream_members` reads it as it goes.
    """
    if source.kind == "tgz":
        raise ValueError(f"{source.uri} can only be streamed")
    try:
        if source.kind == "files":
            sizes = ((name, _local_size(join(source.uri, name))) for name in source.names)
            return make_listing(source, itertools.starmap(_file_entry, sizes), limits, names)
        if source.kind == "directory":
            return _list_directory(source, limits, names)
        with open_file(source.uri) as file:
            entries, broken = list_zip(file) if source.kind == "zip" else list_tar(file)
        return make_listing(source, entries, limits, names, broken)
    except InputError as error:
        return make_listing(source, (), limits, names, error)


def stream_members(source: Source, limits: Limits) -> Iterator[tuple[Entry, Callable[[], bytes]]]:
    """Yield the entries of a tar.gz in their order; it raises what `stream_tar_gz` raises."""
    with open_file(source.uri) as file:
        yield from stream_tar_gz(file, limits)


def _list_directory(source: Source, limits: Limits, names: ImageNames) -> Listing:
    """List the images of a directory; a folder inside that may not be opened is a problem."""
    closed: list[OSError] = []
    found = list_directory(source.uri, closed.append)
    if any(str(error.filename).rstrip("/") == source.uri for error in closed):
        raise InputError(Kind.UNREADABLE_FILE, one_line(closed[0]))
    listing = make_listing(source, itertools.starmap(_file_entry, found), limits, names)
    problems = (
        image_problem(
            source,
            # As an image's name has it: relative to the directory.
            os.path.relpath(error.filename, source.uri),
            "plan",
            InputError(Kind.UNREADABLE_FILE, one_line(error)),
        )
        for error in closed
    )
    return dataclasses.replace(listing, problems=(*listing.problems, *problems))


class SourceReader:
    """A source whose members are read through one open file, by one thread at a time.

    Use it with `contextlib.closing`.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._file: BinaryIO | None = None

    def close(self) -> None:
        """Close the file of the source, where one is open."""
        if self._file:
            self._file.close()

    def read_member(self, member: Member) -> bytes:
        """Return the bytes of a member that `list_members` planned.

        Raises:
          InputError: where it cannot be read, or is more than the limits allow.
        """
        kind = self._source.kind
        if kind in ("directory", "files"):
            with open_file(join(self._source.uri, member.name)) as file:
                data = file.read(self._limits.max_member_bytes + 1)
            self._limits.check_size(member.name, len(data))
            return data
        if self._file is None:
            self._file = open_file(self._source.uri)
        read = read_zip_member if kind == "zip" else read_tar_member
        return read(self._file, member, self._limits)


def _local_size(uri: str) -> int:
    """Return the size of a local file; 0 for a remote one, where each would be a request."""
    try:
        return 0 if is_remote(uri) else os.stat(uri).st_size  # noqa: PTH116
    except OSError:
        # Reading it will say why.
        return 0


def _file_entry(name: str, size: int) -> Entry:
    # The size in a listing is not trusted: a file is measured while it is read.
    return Entry(Member(0, name, size, size))
