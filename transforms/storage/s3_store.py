"""S3, and every store that speaks its protocol, by Amazon's own client.

Endpoint, region and credentials come from where all of Amazon's tools find them: the environment
(``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, …), ``~/.aws``, or the role of the machine.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
import urllib3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from google.api_core.exceptions import RetryError
from google.api_core.retry import Retry

from beamscope.transforms.problems import ExpiredError, UnavailableError, one_line
from beamscope.transforms.storage.retries import gave_up, patient
from beamscope.transforms.storage.store import (
    FileInfo,
    ReplacedError,
    Version,
    may_pass,
    store_error,
)
from beamscope.transforms.storage.uris import split

# More than the threads that read parts at a time; the client's own default is ten.
_CONNECTIONS = 64
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
_MOST_DELETES = 1000
_TOKEN = "beamscope-writer"
# GDAL's name, which users of buckets whose requester pays know.
_PAYER, _REQUESTER = "AWS_REQUEST_PAYER", "requester"
_NO_CREDENTIALS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
# Amazon answers 400, not 401, to a token that has run out.
_BAD_TOKENS = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired")


_making = threading.Lock()


def s3_store() -> S3Store:
    """Return the store of this process."""
    # A forked process must not share its parent's connections. Threads that ask at once would make
    # a client each.
    with _making:
        return _store(os.getpid(), os.environ.get("AWS_ENDPOINT_URL"), os.environ.get(_PAYER))


@functools.cache
def _store(process: int, endpoint: str | None, payer: str | None) -> S3Store:
    del process, endpoint
    with _errors("s3://"):
        session = boto3.Session()
        # Public buckets can be read without credentials, but not with a wrong signature.
        signature = {} if session.get_credentials() else {"signature_version": UNSIGNED}
        config = Config(max_pool_connections=_CONNECTIONS, **signature)
        client = session.client("s3", config=config)
    if payer == _REQUESTER:
        client.meta.events.register("before-call.s3", _let_requester_pay)
    return S3Store(client)


def _let_requester_pay(params: dict[str, Any], **_: Any) -> None:
    # The parameter RequestPayer of each call becomes this header; it is signed after this.
    params["headers"]["x-amz-request-payer"] = _REQUESTER


class S3Store:
    """Objects of ``s3://`` URIs. The version of an object is its ETag."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def _again(self) -> Retry:
        # The client tries a request five times, within seconds, but not the reading of its body.
        return patient(_may_pass, "s3://")

    def list(self, prefix: str, *, recursive: bool = True) -> Iterator[FileInfo]:
        """See `Store.list`."""
        bucket, name = split(prefix)
        folders = {} if recursive else {"Delimiter": "/"}
        list_page = self._again(self._client.list_objects_v2)
        place: dict[str, str] = {}
        while True:
            with _errors(prefix):
                page = list_page(Bucket=bucket, Prefix=name, **folders, **place)
            for found in page.get("Contents", ()):
                yield _info(f"s3://{bucket}/{found['Key']}", found, "Size")
            if not page.get("IsTruncated"):
                return
            place = {"ContinuationToken": page["NextContinuationToken"]}

    def stat(self, uri: str) -> FileInfo:
        """See `Store.stat`."""
        found = self._head(uri)
        return _info(uri, found, "ContentLength")

    def read(self, uri: str, start: int, end: int, version: Version) -> bytes:
        """See `Store.read`."""
        wanted = {"Range": f"bytes={start}-{end - 1}", "IfMatch": version}
        with _errors(uri):
            try:
                return self._again(self._get)(uri, wanted)
            except ClientError as error:
                if _status(error) in (HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED):
                    raise ReplacedError(uri) from error
                raise

    def read_whole(self, uri: str) -> bytes:
        """See `Store.read_whole`."""
        with _errors(uri):
            return self._again(self._get)(uri, {})

    def _get(self, uri: str, wanted: dict[str, Any]) -> bytes:
        bucket, name = split(uri)
        data: bytes = self._client.get_object(Bucket=bucket, Key=name, **wanted)["Body"].read()
        return data

    def upload(self, path: Path, uri: str) -> None:
        """See `Store.upload`."""
        bucket, name = split(uri)
        with _errors(uri):
            self._again(self._client.upload_file)(str(path), bucket, name)

    def create(self, uri: str, data: bytes) -> bool:
        """See `Store.create`."""
        bucket, name = split(uri)
        token = uuid.uuid4().hex
        with _errors(uri):
            try:
                self._again(self._client.put_object)(
                    Bucket=bucket, Key=name, Body=data, IfNoneMatch="*", Metadata={_TOKEN: token}
                )
            except ClientError as error:
                # The second is the answer while another creates the same object.
                if _status(error) not in (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT):
                    raise
                # A retry meets the object that its first try has made, when that answer was lost.
                return self._token(uri) == token
        return True

    def delete(self, uris: Sequence[str]) -> None:
        """See `Store.delete`."""
        by_bucket: dict[str, list[str]] = {}
        for uri in uris:
            bucket, name = split(uri)
            by_bucket.setdefault(bucket, []).append(name)
        for bucket, names in by_bucket.items():
            for start in range(0, len(names), _MOST_DELETES):
                some = names[start : start + _MOST_DELETES]
                with _errors(f"s3://{bucket}/{some[0]}"):
                    self._again(self._delete)(bucket, some)

    def _delete(self, bucket: str, names: Sequence[str]) -> None:
        wanted = {"Objects": [{"Key": name} for name in names], "Quiet": True}
        answer = self._client.delete_objects(Bucket=bucket, Delete=wanted)
        for error in answer.get("Errors", ()):
            status = HTTPStatus.FORBIDDEN if error["Code"] == "AccessDenied" else None
            raise store_error(f"s3://{bucket}/{error['Key']}", status, error["Message"])

    def _token(self, uri: str) -> str | None:
        try:
            found: str | None = self._head(uri)["Metadata"].get(_TOKEN)
        except FileNotFoundError:
            return None
        return found

    def _head(self, uri: str) -> dict[str, Any]:
        bucket, name = split(uri)
        with _errors(uri):
            found: dict[str, Any] = self._again(self._client.head_object)(Bucket=bucket, Key=name)
        return found


def _status(error: ClientError) -> int | None:
    if error.response["Error"].get("Code") in _BAD_TOKENS:
        return HTTPStatus.UNAUTHORIZED
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, boto3.exceptions.S3UploadFailedError):
        error = error.__context__ or error
    if isinstance(error, ClientError):
        return may_pass(_status(error))
    # The last is of single objects of a request to delete many.
    # Botocore passes on what urllib3 raises while the body of an answer with an error is read.
    return isinstance(error, (HTTPClientError, UnavailableError, urllib3.exceptions.HTTPError))


@contextlib.contextmanager
def _errors(uri: str) -> Iterator[None]:
    try:
        yield
    except RetryError as error:
        gave_up()
        raise UnavailableError(f"{uri}: {one_line(error.cause)}") from error
    except ClientError as error:
        raise store_error(uri, _status(error), one_line(error)) from error
    except boto3.exceptions.S3UploadFailedError as error:
        cause = error.__context__
        status = _status(cause) if isinstance(cause, ClientError) else None
        raise store_error(uri, status, one_line(error)) from error
    except _NO_CREDENTIALS as error:
        raise ExpiredError(f"{uri}: no permission ({one_line(error)})") from error
    except (BotoCoreError, urllib3.exceptions.HTTPError) as error:
        raise UnavailableError(f"{uri}: {one_line(error)}") from error


def _info(uri: str, found: Mapping[str, Any], size: str) -> FileInfo:
    return FileInfo(uri, found[size], found["ETag"], found["LastModified"].timestamp())
