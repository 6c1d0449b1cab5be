import types

import boto3
import pytest
import urllib3
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    ResponseStreamingError,
)

from beamscope.transforms.problems import ExpiredError, UnavailableError
from beamscope.transforms.storage import retries, s3_store
from beamscope.transforms.storage.s3_store import S3Store
from tests.s3 import BUCKET, forbid, s3_server


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as bucket:
        yield bucket


def _answer(status, code):
    response = {"Error": {"Code": code, "Message": code}}
    return ClientError({**response, "ResponseMetadata": {"HTTPStatusCode": status}}, "HeadObject")


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (_answer(401, "Unauthorized"), ExpiredError, "no permission"),
        (_answer(403, "InvalidAccessKeyId"), PermissionError, "no permission .*InvalidAccessKeyId"),
        (_answer(400, "ExpiredToken"), ExpiredError, "no permission .*ExpiredToken"),
        (NoCredentialsError(), ExpiredError, "no permission .*locate credentials"),
        (_answer(404, "NoSuchKey"), FileNotFoundError, "no such file or bucket"),
        (_answer(404, "NoSuchBucket"), FileNotFoundError, "no such file or bucket"),
        (_answer(500, "InternalError"), UnavailableError, ".*InternalError"),
        (EndpointConnectionError(endpoint_url="http://x"), UnavailableError, "Could not connect"),
    ],
)
def test_errors_are_those_of_the_system(error, expected, message, monkeypatch):
    monkeypatch.setattr(retries, "PATIENCE_S", 0)
    monkeypatch.setattr(retries, "_gave_up_at", None)

    def refuse(**wanted):
        raise error

    store = S3Store(types.SimpleNamespace(head_object=refuse))
    with pytest.raises(expected, match=f"s3://b/a: {message}") as caught:
        store.stat("s3://b/a")
    assert "\n" not in str(caught.value)


def test_one_client_a_process_and_a_new_one_for_another_endpoint(bucket, monkeypatch):
    one = s3_store.s3_store()
    assert s3_store.s3_store() is one
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert s3_store.s3_store() is not one


def test_without_credentials_nothing_is_signed(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3_store._store.cache_clear()
    client = s3_store.s3_store()._client
    s3_store._store.cache_clear()
    assert client.meta.config.signature_version is s3_store.UNSIGNED


def test_a_body_that_breaks_off_is_read_again(monkeypatch):
    tries = []

    class Body:
        def read(self):
            tries.append(1)
            if len(tries) < 3:
                raise ResponseStreamingError(error="cut")
            return b"whole"

    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 0.01)
    store = S3Store(types.SimpleNamespace(get_object=lambda **wanted: {"Body": Body()}))
    assert store.read("s3://b/a", 0, 5, "tag") == b"whole"
    tries.clear()
    monkeypatch.setattr(retries, "PATIENCE_S", 0)
    store = S3Store(store._client)
    with pytest.raises(UnavailableError, match=r"s3://b/a: .*cut"):
        store.read("s3://b/a", 0, 5, "tag")
    assert tries == [1]


def test_names_that_other_clients_cannot_say(bucket):
    store = s3_store.s3_store()
    names = ["d//e", "/lead", "a/../b", "x/./y", "tab\there", "p%2Fq", "ü", "#?*[~]", "trailing/"]
    for name in names:
        boto3.client("s3").put_object(Bucket=BUCKET, Key=f"odd/{name}", Body=name.encode())
    prefix = f"{bucket}/odd/"
    found = {file.path.removeprefix(prefix): file for file in store.list(prefix)}
    assert sorted(found) == sorted(names)
    for name, file in found.items():
        assert store.read(file.path, 0, file.size, file.version) == name.encode()
        assert store.stat(file.path) == file
    store.delete([file.path for file in found.values()])
    assert not list(store.list(prefix))


def test_more_deletes_than_a_request_takes(bucket, monkeypatch):
    monkeypatch.setattr(s3_store, "_MOST_DELETES", 3)
    store = s3_store.s3_store()
    uris = [f"{bucket}/many/{index}" for index in range(7)]
    for uri in uris:
        assert store.create(uri, b"")
    store.delete(uris)
    assert not list(store.list(f"{bucket}/many/"))


def test_a_delete_that_is_refused_errors(bucket):
    store = s3_store.s3_store()
    assert store.create(f"{bucket}/kept", b"")
    forbid(f"{bucket}/kept", "s3:DeleteObject")
    with pytest.raises(PermissionError, match=f"{bucket}/kept: no permission"):
        store.delete([f"{bucket}/kept"])
    assert store.stat(f"{bucket}/kept").size == 0


def test_a_retry_that_meets_its_own_object_has_created_it(bucket, monkeypatch):
    store = s3_store.s3_store()
    put = store._client.put_object

    def answer_is_lost(**wanted):
        put(**wanted)
        put(**wanted)

    monkeypatch.setattr(store._client, "put_object", answer_is_lost)
    assert store.create(f"{bucket}/lock", b"mine")
    assert not store.create(f"{bucket}/lock", b"again")


def test_an_answer_that_says_no_such_file_and_breaks_off_is_asked_for_again():
    broken = urllib3.exceptions.ProtocolError("Connection broken")
    missing = ClientError(
        {
            "Error": {"Code": "NoSuchKey", "Message": "none"},
            "ResponseMetadata": {"HTTPStatusCode": 404},
        },
        "GetObject",
    )
    answers = [broken, missing]

    class Client:
        def get_object(self, **_):
            raise answers.pop(0)

    with pytest.raises(FileNotFoundError, match=r"s3://b/a: no such file"):
        S3Store(Client()).read_whole("s3://b/a")
    assert answers == []
