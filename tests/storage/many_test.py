import pytest

from beamscope.transforms.storage import files
from beamscope.transforms.storage.many import stat_all
from tests.gcs import gcs_emulator
from tests.traffic import counted_traffic

FOLDER = "slides [1]"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with gcs_emulator(tmp_path_factory.mktemp("gcs")) as bucket:
        for number in range(40):
            files.write_bytes(f"{bucket}/{FOLDER}/{number % 3}/s{number}.svs", b"x" * number)
        for number in range(900):
            files.write_bytes(f"{bucket}/crowd/n{number:03d}", b"")
        yield bucket


def slides(bucket, count):
    return [f"{bucket}/{FOLDER}/{number % 3}/s{number}.svs" for number in range(count)]


@pytest.mark.parametrize("count", [20, 40])
def test_many_files_of_a_bucket_are_seen_by_one_listing(bucket, tmp_path, count):
    local = tmp_path / "mask.png"
    local.write_bytes(b"mask")
    uris = [*slides(bucket, count), str(local)]
    with counted_traffic() as traffic:
        seen = stat_all(uris)
    assert traffic.requests == {"list": 1}
    for uri in uris:
        there, expected = seen[uri], files.stat(uri)
        assert there == expected
        assert (there.version, there.crc32c) == (expected.version, expected.crc32c)


def test_what_a_listing_does_not_show_is_asked_for_alone(bucket):
    missing = f"{bucket}/{FOLDER}/none.svs"
    with counted_traffic() as traffic:
        seen = stat_all([*slides(bucket, 20), missing])
    assert seen[missing] is None
    assert traffic.requests == {"list": 1, "stat": 1}


def test_few_files_and_files_in_a_crowd_are_asked_for_alone(bucket):
    with counted_traffic() as traffic:
        assert set(stat_all(slides(bucket, 3)).values()) == set(map(files.stat, slides(bucket, 3)))
    assert traffic.requests["list"] == 0
    # 900 other objects come first: more than 20 for each of these.
    few = slides(bucket, 20)
    with counted_traffic() as traffic:
        assert len(stat_all([*few, f"{bucket}/crowd/n000"])) == 21
    assert traffic.requests["stat"] == len(few)
