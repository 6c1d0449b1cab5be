"""The interface to an object store, and the errors by which every store says the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from beamscope.transforms.problems import ExpiredError, UnavailableError
from beamscope.transforms.storage.uris import scheme_of

# Identifies one state of an object: the generation in Google's store, the ETag in S3.
Version = int | str


@dataclasses.dataclass(frozen=True, order=True)
class FileInfo:
    """A file that a listing found.

    Attributes:
      path: full path or URI.
      size: bytes.
      version: of a remote file, which state of it was found; None for a local one.
      modified: when it was written last, seconds since 1970 by the clock of the disk or the store.
      crc32c: of the content of a remote file, as the store has counted it; None where it does not.
    """

    path: str
    size: int
    version: Version | None = dataclasses.field(default=None, compare=False)
    modified: float = dataclasses.field(default=0.0, compare=False)
    crc32c: int | None = dataclasses.field(default=None, compare=False)


class ReplacedError(FileNotFoundError):
    """The version of an object that was asked for is there no more."""


class Store(Protocol):
    """An object store. Threads share it; it holds the one client of the process.

    Every method raises OSError: PermissionError where the credentials do not allow it, ExpiredError
    where none are valid, FileNotFoundError where the bucket or the object does not exist, and
    ConnectionError where the store answers with another error: UnavailableError where it does not
    answer, or answers that it cannot now, and did so for some minutes.
    """

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[FileInfo]:
        """Yield the objects whose URIs begin with `prefix`, in the order of their names.

        Args:
          prefix: a URI; it ends with a slash to name a folder.
          recursive: False leaves out what has a slash after the prefix.
        """

    def stat(self, uri: str) -> FileInfo:
        """Return the size and the version of an object."""

    def read(self, uri: str, start: int, end: int, version: Version) -> bytes:
        """Return the bytes from `start` to before `end` of one version of an object.

        Raises:
          ReplacedError: that version is there no more.
        """

    def read_whole(self, uri: str) -> bytes:
        """Return all bytes of an object, of the version that is there, by one request."""

    def upload(self, path: Path, uri: str) -> None:
        """Create or replace an object with the content of a local file, all of it or nothing."""

    def create(self, uri: str, data: bytes) -> bool:
        """Create an object unless it exists; return whether this call has created it."""

    def delete(self, uris: Sequence[str]) -> None:
        """Delete objects; one that does not exist is no error."""


def store_of(uri: str) -> Store:
    """Return the store that a URI names.

    Raises:
      InputError: ``unknown_scheme``.
    """
    # Each client's library takes a second to import, and most jobs need one of them or none.
    if scheme_of(uri) == "gs":
        from beamscope.transforms.storage.google_store import google_store

        return google_store()
    from beamscope.transforms.storage.s3_store import s3_store

    return s3_store()


def may_pass(status: int | None) -> bool:
    """Return whether the error of a response may be gone at the next try; None is no response."""
    return (
        status is None
        or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def store_error(uri: str, status: int | None, detail: str) -> OSError:
    """Return the error to raise for an answer of a store.

    Args:
      uri: of the object, or of the folder that was listed.
      status: of the HTTP response; None where there was none.
      detail: one line, from the store.
    """
    if status == HTTPStatus.UNAUTHORIZED:
        return ExpiredError(f"{uri}: no permission ({detail})")
    if status == HTTPStatus.FORBIDDEN:
        return PermissionError(f"{uri}: no permission ({detail})")
    if status == HTTPStatus.NOT_FOUND:
        return FileNotFoundError(f"{uri}: no such file or bucket")
    kind = UnavailableError if may_pass(status) else ConnectionError
    return kind(f"{uri}: {detail}")
