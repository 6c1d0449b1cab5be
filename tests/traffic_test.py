import collections

import pytest

from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.s3 import s3_server
from tests.traffic import NAMES_A_LISTING, counted_traffic, note


@pytest.fixture(params=["gs", "s3"])
def bucket(request, tmp_path):
    store = gcs_emulator(tmp_path) if request.param == "gs" else s3_server(tmp_path, counted=True)
    with store as bucket:
        yield bucket


def test_each_request_is_counted_by_its_kind(bucket):
    # The client asks for the bucket itself, once.
    files.write_bytes(f"{bucket}/b/other", b"")
    with counted_traffic() as traffic:
        files.write_bytes(f"{bucket}/a/one", b"0123456789")
        found = files.stat(f"{bucket}/a/one")
        assert files.read_from(found, 4) == b"456789"
        assert [file.path for file in files.list_files(f"{bucket}/a")] == [f"{bucket}/a/one"]
        files.delete([f"{bucket}/a/one"])
    assert traffic.requests == {"put": 1, "stat": 1, "range": 1, "list": 1, "delete": 1}
    assert traffic.beside_listings == 4
    assert traffic.bytes["range"] == 6
    assert traffic.bytes["put"] >= 10
    assert traffic.pages == 1
    assert ("put", "a/one") in traffic.asked
    assert ("range", "a/one") in traffic.asked
    assert ("list", "a/") in traffic.asked
    files.exists(f"{bucket}/a/one")
    assert traffic.requests.total() == 5


def test_listings_are_counted_in_pages():
    with counted_traffic() as traffic, counted_traffic() as other:
        for names in (0, NAMES_A_LISTING, NAMES_A_LISTING + 1):
            note("list", "a/", 10, names)
    assert traffic.pages == other.pages == 1 + 1 + 2
    assert traffic.bytes == collections.Counter(list=30)
