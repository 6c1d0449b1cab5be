import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from beamscope.transforms.storage import remote_source as remote
from beamscope.transforms.storage.google_store import GoogleStore
from beamscope.transforms.storage.remote_source import RemoteSource, join_ranges
from beamscope.transforms.storage.s3_store import S3Store
from tests.s3 import forbid, s3_server
from tests.slides.store import watched_store

CONTENT = np.random.default_rng(0).bytes(300_000)
RANGES = st.lists(st.tuples(st.integers(0, 320_000), st.integers(0, 60_000)), max_size=20)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with watched_store(tmp_path_factory.mktemp("gcs")) as store:
        files.write_bytes(f"{store.bucket}/a/slide.svs", CONTENT)
        yield store


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as bucket:
        files.write_bytes(f"{bucket}/a/slide.svs", CONTENT)
        yield bucket


@pytest.fixture(scope="module", params=["gs", "s3"])
def bucket(request):
    if request.param == "s3":
        return request.getfixturevalue("s3")
    return request.getfixturevalue("store").bucket


@pytest.fixture
def source(bucket):
    return RemoteSource(f"{bucket}/a/slide.svs")


@given(RANGES, st.integers(0, 30_000), st.integers(1, 200_000))
def test_joined_ranges(ranges, max_gap, max_length):
    spans = join_ranges(ranges, max_gap=max_gap, max_length=max_length)
    assert sorted(index for span in spans for index in span.ranges) == list(range(len(ranges)))
    for span in spans:
        inside = sorted(ranges[index] for index in span.ranges)
        assert (span.start, span.end) == (inside[0][0], max(map(sum, inside)))
        assert len(inside) == 1 or span.end - span.start <= max_length
        reached = span.start
        for offset, length in inside:
            assert offset - reached <= max_gap
            reached = max(reached, offset + length)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], []),
        ([(0, 10), (10, 10), (25, 5)], [(0, 30, (0, 1, 2))]),
        ([(26, 5), (0, 10), (10, 10)], [(0, 20, (1, 2)), (26, 31, (0,))]),
        # No more is joined than fits into a request; what is larger goes alone.
        ([(0, 60), (60, 60), (120, 300), (421, 1)], [(0, 60, (0,)), (60, 120, (1,)),
                                                     (120, 420, (2,)), (421, 422, (3,))]),
        ([(5, 20), (5, 20), (10, 2)], [(5, 25, (2, 0, 1))]),
    ],
)  # fmt: skip
def test_join_ranges(ranges, expected):
    spans = join_ranges(ranges, max_gap=5, max_length=100)
    found = [(span.start, span.end, sorted(span.ranges)) for span in spans]
    assert found == [(start, end, sorted(indices)) for start, end, indices in expected]


@settings(max_examples=40, deadline=None)
@given(RANGES)
def test_any_ranges_are_slices(bucket, ranges):
    source = RemoteSource(f"{bucket}/a/slide.svs")
    expected = [CONTENT[offset : offset + length] for offset, length in ranges]
    assert [wait() for wait in source.request(ranges)] == expected
    assert [source.read(*pair) for pair in ranges[:3]] == expected[:3]


def test_what_is_close_is_fetched_together(store):
    store.forget()
    source = RemoteSource(f"{store.bucket}/a/slide.svs")
    ranges = [(0, 1000), (2000, 1000), (100_000, 1000), (299_000, 5000), (250_000, 0)]
    for wait in source.request(ranges):
        wait()
    assert (source.requests, source.bytes_fetched) == (3, 3000 + 1000 + 1000)
    assert store.requests["a/slide.svs"] == 3
    assert store.fetched["a/slide.svs"] == source.bytes_fetched


def test_many_threads(source):
    ranges = [(offset, 500) for offset in range(0, 290_000, 10_000)]
    expected = [CONTENT[offset : offset + 500] for offset, _ in ranges]
    with ThreadPoolExecutor(6) as threads:
        for found in threads.map(source.request, [ranges] * 12):
            assert [wait() for wait in found] == expected


@pytest.mark.parametrize("change", [files.delete, None])
def test_another_generation_errors(bucket, change):
    uri = f"{bucket}/changing.svs"
    files.write_bytes(uri, CONTENT)
    source = RemoteSource(uri)
    assert source.read(10, 10) == CONTENT[10:20]
    assert RemoteSource(uri, source.generation).read(10, 10) == CONTENT[10:20]
    if change:
        change([uri])
    else:
        files.write_bytes(uri, CONTENT[::-1])
        assert RemoteSource(uri).read(0, 10) == CONTENT[:-11:-1]
    for read in (
        lambda: source.read(10, 10),
        source.request([(10, 10)])[0],
        lambda: RemoteSource(uri, source.generation),
    ):
        with pytest.raises(InputError, match=rf"changing.svs: .*{source.generation} is") as error:
            read()
        assert error.value.kind == "missing_file"


def test_a_file_that_is_replaced_is_never_a_mix(bucket):
    uri = f"{bucket}/mixed.bin"
    files.write_bytes(uri, CONTENT)
    with files.open_read(uri) as file:
        assert file.read(10) == CONTENT[:10]
        files.write_bytes(uri, CONTENT[::-1])
        file.seek(250_000)
        with pytest.raises(InputError, match=r"mixed.bin: replaced or deleted"):
            file.read(10)


def test_a_listed_file_is_copied_in_the_version_that_was_listed(bucket, tmp_path):
    uri = f"{bucket}/listed/a.bin"
    files.write_bytes(uri, CONTENT)
    (found,) = files.list_files(f"{bucket}/listed")
    assert found.version == RemoteSource(uri).generation
    files.write_bytes(uri, CONTENT[::-1])
    with pytest.raises(InputError, match="replaced or deleted"):
        files.copy_file(found, tmp_path / "copy")


@pytest.mark.parametrize("uri", ["/none.svs", "-none/a.svs"])
def test_missing_object_errors(bucket, uri):
    with pytest.raises(InputError, match=f"{uri}: no such file") as error:
        RemoteSource(f"{bucket}{uri}")
    assert error.value.kind == "missing_file"


def test_forbidden_object_errors(bucket, request):
    uri = f"{bucket}/secret.svs"
    files.write_bytes(uri, CONTENT)
    source = RemoteSource(uri)
    if bucket.startswith("gs:"):
        request.getfixturevalue("store").forbidden.add("secret.svs")
    else:
        forbid(uri, "s3:GetObject", "s3:HeadObject")
    for read in (lambda: RemoteSource(uri), lambda: source.read(0, 10)):
        with pytest.raises(InputError, match=r"secret.svs: no permission") as error:
            read()
        assert error.value.kind == "unopenable"
    with pytest.raises(PermissionError, match=r"secret.svs: no permission"):
        files.read_bytes(uri)


def test_an_answer_that_is_cut_off_is_no_damage_errors(source, monkeypatch):
    store = GoogleStore if isinstance(source.generation, int) else S3Store
    whole = store.read
    monkeypatch.setattr(store, "read", lambda *a, **k: whole(*a, **k)[:-1])
    with pytest.raises(ConnectionError, match="99 bytes of 100 at 7"):
        source.read(7, 100)
    assert source.bytes_fetched == 0


def test_requests_are_bounded(source, monkeypatch):
    at_a_time, most = [], []
    fetch = RemoteSource._fetch

    def watched(self, start, end):
        at_a_time.append(start)
        most.append(len(at_a_time))
        try:
            return fetch(self, start, end)
        finally:
            at_a_time.remove(start)

    monkeypatch.setattr(RemoteSource, "_fetch", watched)
    monkeypatch.setattr(remote, "join_ranges", functools.partial(join_ranges, max_gap=0))
    for wait in source.request([(offset, 10) for offset in range(0, 300_000, 2000)]):
        wait()
    assert len(most) == 150
    assert 1 < max(most) <= 8
