"""One way to list and read every source: its members as a plan, a member as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from beamscope.transforms.closing import Closing
from beamscope.transforms.problems import InputError
from beamscope.transforms.xrays.archives.members import Entry, Limits, Listing, Member, make_listing
from beamscope.transforms.xrays.archives.tars import list_tar, read_tar_member, stream_tar_gz
from beamscope.transforms.xrays.archives.zips import list_zip, read_zip_member
from beamscope.transforms.xrays.sources import Source, join, list_directory, open_file


def list_members(source: Source, limits: Limits) -> Listing:
    """The films of a source, without reading them: a central directory, headers, or names.

    A source that cannot be opened is a listing of nothing with one problem.

    Raises:
      ValueError: for a tar.gz, which has no listing: `stream_members` reads it as it goes.
    """
    if source.kind == "tgz":
        raise ValueError(f"{source.uri} can only be streamed")
    try:
        if source.kind == "files":
            return make_listing(source, (_file_entry(name, 0) for name in source.names), limits)
        if source.kind == "directory":
            found = list_directory(source.uri)
            return make_listing(source, (_file_entry(*entry) for entry in found), limits)
        with open_file(source.uri) as file:
            entries, broken = list_zip(file) if source.kind == "zip" else list_tar(file)
        return make_listing(source, entries, limits, broken)
    except InputError as error:
        return make_listing(source, (), limits, error)


def stream_members(source: Source, limits: Limits) -> Iterator[tuple[Entry, Callable[[], bytes]]]:
    """The entries of a tar.gz in their order; see `stream_tar_gz` for what it raises."""
    with open_file(source.uri) as file:
        yield from stream_tar_gz(file, limits)


class SourceReader(Closing):
    """Reads members of one source through one open file. Use it from one thread at a time."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._file: BinaryIO | None = None

    def close(self) -> None:
        """Closes the file of the source, where one is open."""
        if self._file:
            self._file.close()

    def read_member(self, member: Member) -> bytes:
        """The bytes of a member that `list_members` planned.

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


def _file_entry(name: str, size: int) -> Entry:
    # What a directory declares is not trusted either: a file is measured while it is read.
    return Entry(Member(0, name, size, size))
