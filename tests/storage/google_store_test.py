import types

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError, TransportError
from google.cloud.storage.exceptions import InvalidResponse

from beamscope.transforms.problems import ExpiredError, UnavailableError
from beamscope.transforms.storage import google_store
from beamscope.transforms.storage.google_store import GoogleStore
from tests.gcs import gcs_emulator


@pytest.fixture
def bucket(tmp_path):
    with gcs_emulator(tmp_path) as bucket:
        yield bucket


class Refusing:
    """A client that is told what to answer."""

    def __init__(self, error):
        self._error = error

    def _refuse(self, *args, **kwargs):
        raise self._error

    list_blobs = bucket = _refuse


def _upload_error(status):
    return InvalidResponse(types.SimpleNamespace(status_code=status, headers={}), "upload failed")


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (exceptions.Unauthorized("bad token"), ExpiredError, "no permission .*bad token"),
        (exceptions.Forbidden("not yours"), PermissionError, "no permission .*not yours"),
        (RefreshError("invalid_grant"), ExpiredError, "no permission .*invalid_grant"),
        (exceptions.NotFound("gone"), FileNotFoundError, "no such file or bucket"),
        (exceptions.ServiceUnavailable("later"), UnavailableError, "503 later"),
        (TransportError("no route"), UnavailableError, "no route"),
        (_upload_error(403), PermissionError, "no permission .*upload failed"),
        (_upload_error(404), FileNotFoundError, "no such file or bucket"),
    ],
)
def test_errors_are_those_of_the_system(error, expected, message, monkeypatch):
    store = GoogleStore(Refusing(error))
    for use in (
        lambda: list(store.list("gs://b/a")),
        lambda: store.upload("/none", "gs://b/a"),
    ):
        monkeypatch.setattr(store, "_blob", lambda *a: Blob(error))
        with pytest.raises(expected, match=f"gs://b/a: {message}") as caught:
            use()
        assert "\n" not in str(caught.value)


class Blob:
    def __init__(self, error):
        self._error = error

    def upload_from_filename(self, *args, **kwargs):
        raise self._error


def test_one_client_a_process_and_a_new_one_for_another_endpoint(bucket, monkeypatch):
    one = google_store.google_store()
    assert google_store.google_store() is one
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    assert google_store.google_store() is not one


def test_a_retry_that_meets_its_own_object_has_created_it(bucket, monkeypatch):
    store = google_store.google_store()
    create = google_store.Blob.upload_from_string

    def answer_is_lost(blob, *args, **kwargs):
        create(blob, *args, **kwargs)
        create(blob, *args, **kwargs)

    monkeypatch.setattr(google_store.Blob, "upload_from_string", answer_is_lost)
    assert store.create(f"{bucket}/lock", b"mine")
    assert not store.create(f"{bucket}/lock", b"again")
