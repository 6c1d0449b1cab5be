"""Google Cloud Storage, by Google's own client."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from apache_beam.io.filesystems import FileSystems
from google.api_core.exceptions import (
    GoogleAPICallError,
    NotFound,
    PreconditionFailed,
    RetryError,
)
from google.api_core.retry import Retry
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud.storage import Blob, Client  # type: ignore[import-untyped]
from google.cloud.storage.exceptions import InvalidResponse  # type: ignore[import-untyped]
from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

from beamscope.transforms.problems import ExpiredError, UnavailableError
from beamscope.transforms.storage.requester_pays import GOOGLE_VARIABLE, billing_project
from beamscope.transforms.storage.retries import gave_up, patient, words
from beamscope.transforms.storage.store import FileInfo, ReplacedError, Version, store_error
from beamscope.transforms.storage.uris import split

# More than the threads that read parts, or delete, at a time; the client's own default is ten.
_CONNECTIONS = 64
_DELETERS = 32
_TOKEN = "beamscope-writer"
# In the answer, 400, to a request that names no project that pays:
# https://cloud.google.com/storage/docs/requester-pays.
_PAYS = "requester pays bucket but no user project"


_making = threading.Lock()


def google_store() -> GoogleStore:
    """Return the store of this process."""
    # Threads that ask at once would make a client each.
    with _making:
        return _store(os.getpid(), os.environ.get("STORAGE_EMULATOR_HOST"), billing_project())


@functools.cache
def _store(process: int, emulator: str | None, payer: str | None) -> GoogleStore:
    # A forked process must not share its parent's connections, hence the arguments.
    del process, emulator
    # Beam's client: it has the credentials and the impersonation that the job's options ask for.
    # For traces that nobody has asked for, the client looks every bucket up beside each call, until
    # that succeeds once: without naming who pays, and by a permission that is not needed otherwise.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    client: Client = FileSystems.get_filesystem("gs://")._gcsIO().client
    for prefix in ("https://", "http://"):
        client._http.mount(prefix, requests.adapters.HTTPAdapter(pool_maxsize=_CONNECTIONS))
    return GoogleStore(client, payer)


class GoogleStore:
    """Objects of ``gs://`` URIs. The version of an object is its generation.

    Args:
      client: Google's own.
      payer: project that pays for the requests; None for that of the bucket.
    """

    def __init__(self, client: Client, payer: str | None = None) -> None:
        self._client = client
        self._payer = payer

    @property
    def _retry(self) -> Retry:
        # Google's own rule for what may pass, for longer, and said.
        return patient(DEFAULT_RETRY._predicate, "gs://")

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[FileInfo]:
        """See `Store.list`."""
        bucket, name = split(prefix)
        with _errors(prefix):
            found = self._client.list_blobs(
                self._client.bucket(bucket, user_project=self._payer),
                prefix=name,
                delimiter=None if recursive else "/",
                fields="items(name,size,generation,crc32c,updated),prefixes,nextPageToken",
                retry=self._retry,
            )
            for blob in found:
                yield _info(f"gs://{bucket}/{blob.name}", blob)

    def stat(self, uri: str) -> FileInfo:
        """See `Store.stat`."""
        blob = self._blob(uri)
        with _errors(uri):
            blob.reload(retry=self._retry)
        return _info(uri, blob)

    def read(self, uri: str, start: int, end: int, version: Version) -> bytes:
        """See `Store.read`."""
        blob = self._blob(uri, version)
        with _errors(uri):
            try:
                # As stored, whatever the object says of its encoding; ranges have no checksums.
                data: bytes = blob.download_as_bytes(
                    start=start,
                    end=end - 1,
                    raw_download=True,
                    checksum=None,
                    retry=self._retry,
                )
            except NotFound as error:
                raise ReplacedError(uri) from error
        return data

    def read_whole(self, uri: str) -> bytes:
        """See `Store.read_whole`."""
        with _errors(uri):
            data: bytes = self._blob(uri).download_as_bytes(
                raw_download=True, checksum=None, retry=self._retry
            )
        return data

    def upload(self, path: Path, uri: str) -> None:
        """See `Store.upload`."""
        with _errors(uri):
            self._blob(uri).upload_from_filename(str(path), retry=self._retry)

    def create(self, uri: str, data: bytes) -> bool:
        """See `Store.create`."""
        blob = self._blob(uri)
        token = uuid.uuid4().hex
        blob.metadata = {_TOKEN: token}
        with _errors(uri):
            try:
                blob.upload_from_string(
                    data, "application/octet-stream", if_generation_match=0, retry=self._retry
                )
            except PreconditionFailed:
                # A retry meets the object that its first try has made, when that answer was lost.
                return self._token(uri) == token
        return True

    def delete(self, uris: Sequence[str]) -> None:
        """See `Store.delete`."""
        if uris:
            with ThreadPoolExecutor(min(_DELETERS, len(uris))) as deleters:
                for _ in deleters.map(self._delete, uris):
                    pass

    def _delete(self, uri: str) -> None:
        with _errors(uri), contextlib.suppress(NotFound):
            self._blob(uri).delete(retry=self._retry)

    def _token(self, uri: str) -> str | None:
        blob = self._blob(uri)
        try:
            blob.reload(retry=self._retry)
        except NotFound:
            return None
        return (blob.metadata or {}).get(_TOKEN)

    def _blob(self, uri: str, version: Version | None = None) -> Blob:
        bucket, name = split(uri)
        # A blob of its own for each call: the client notes in it what it was answered.
        return self._client.bucket(bucket, user_project=self._payer).blob(name, generation=version)


@contextlib.contextmanager
def _errors(uri: str) -> Iterator[None]:
    try:
        yield
    except RetryError as error:
        gave_up()
        raise UnavailableError(f"{uri}: {words(error.cause)}") from error
    except GoogleAPICallError as error:
        if _PAYS in words(error):
            raise PermissionError(
                f"{uri}: its bucket lets those pay who ask: give --billing_project PROJECT, or set "
                f"{GOOGLE_VARIABLE}"
            ) from error
        raise store_error(uri, error.code, words(error)) from error
    except InvalidResponse as error:
        raise store_error(uri, error.response.status_code, words(error)) from error
    except (TransportError, requests.RequestException) as error:
        raise UnavailableError(f"{uri}: {words(error)}") from error
    except GoogleAuthError as error:
        raise ExpiredError(f"{uri}: no permission ({words(error)})") from error


def _info(uri: str, blob: Any) -> FileInfo:
    written = blob.updated or blob.time_created
    crc32c = int.from_bytes(base64.b64decode(blob.crc32c)) if blob.crc32c else None
    return FileInfo(
        uri, blob.size, blob.generation, written.timestamp() if written else 0.0, crc32c
    )
