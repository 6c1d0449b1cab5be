"""Stores that answer late, wrongly, halfway, or not at all."""

import itertools
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from beamscope.transforms.problems import UnavailableError
from beamscope.transforms.storage import files, google_store, retries, s3_store
from tests.faulty_proxy import CUT, LOST, RESET, STATUSES, Fault, FaultyProxy, faulty_proxy

VARIABLES = {"gs": "STORAGE_EMULATOR_HOST", "s3": "AWS_ENDPOINT_URL"}
CONTENT = bytes(range(256)) * 300


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(retries, "PATIENCE_S", 20.0)
    monkeypatch.setattr(retries, "_said", set())
    monkeypatch.setattr(retries, "_gave_up_at", None)
    # Of the client itself, which is made anew for each proxy.
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda *args, **kwargs: 0.01)
    yield
    # Clients of a proxy that is gone.
    google_store._store.cache_clear()
    s3_store._store.cache_clear()


@pytest.fixture
def proxy(bucket: str) -> Iterator[FaultyProxy]:
    files.write_bytes(f"{bucket}/there", CONTENT)
    with faulty_proxy(VARIABLES[bucket[:2]]) as proxy:
        yield proxy


def use(bucket, name):
    """Does one thing, and says whether the outcome is right."""
    if name == "list":
        return [file.size for file in files.list_files(bucket)] == [len(CONTENT)]
    if name == "stat":
        return files.size(f"{bucket}/there") == len(CONTENT)
    if name == "read":
        return files.read_bytes(f"{bucket}/there") == CONTENT
    if name == "upload":
        files.write_bytes(f"{bucket}/new", CONTENT)
    elif name == "create":
        created = files.create_if_absent(f"{bucket}/new", CONTENT)
        again = files.create_if_absent(f"{bucket}/new", CONTENT)
        assert (created, again) == (True, False)
    else:
        files.delete([f"{bucket}/there"])
        return not files.exists(f"{bucket}/there")
    return files.read_bytes(f"{bucket}/new") == CONTENT


@pytest.mark.parametrize(
    ("what", "how"),
    [
        *itertools.product(["list", "stat", "read", "upload", "delete"], [503, RESET, CUT]),
        *itertools.product(["upload", "create", "delete"], [LOST]),
        *itertools.product(["create"], [*STATUSES, RESET, CUT]),
        *itertools.product(["read"], STATUSES),
    ],
)
def test_what_passes_costs_nothing(bucket, proxy, what, how, caplog):
    caplog.set_level(logging.WARNING, "beamscope")
    files.delete([f"{bucket}/new"])
    proxy.requests.clear()
    where = "^(PUT|POST|DELETE)" if what in ("upload", "create", "delete") else "^(GET|HEAD)"
    proxy.faults.append(Fault(how, where, times=2))
    try:
        assert use(bucket, what)
    finally:
        proxy.faults.clear()
    # An empty answer cannot be cut.
    assert len(proxy.met) == 2 or (proxy.met and how == CUT)
    told = [record for record in caplog.records if "does not answer" in record.getMessage()]
    assert len(told) <= 1


@pytest.mark.parametrize("how", [RESET, LOST])
def test_of_some_that_create_one_file_one_is_told_so(bucket, proxy, how):
    files.delete([f"{bucket}/lock"])
    proxy.faults.append(Fault(how, "^(PUT|POST)", times=3))
    contents = [b"%d" % number for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda one: files.create_if_absent(f"{bucket}/lock", one), contents))
    assert sorted(told) == [False, False, False, True]
    assert files.read_bytes(f"{bucket}/lock") == contents[told.index(True)]


@pytest.mark.parametrize(
    ("what", "how"), [("list", RESET), ("read", CUT), ("upload", 503), ("create", 429)]
)
def test_what_does_not_pass_is_one_line_with_the_place(
    bucket, proxy, what, how, caplog, monkeypatch
):
    monkeypatch.setattr(retries, "PATIENCE_S", 0.3)
    google_store._store.cache_clear()
    s3_store._store.cache_clear()
    caplog.set_level(logging.WARNING, "beamscope")
    proxy.faults.append(Fault(how, times=float("inf")))
    with pytest.raises(UnavailableError, match=f"{bucket}") as caught:
        use(bucket, what)
    assert "\n" not in str(caught.value)
    told = [record for record in caplog.records if "does not answer" in record.getMessage()]
    assert len(told) == 1


def test_what_is_wrong_for_good_is_not_tried_again(bucket, proxy):
    proxy.faults.append(Fault(400, "^(PUT|POST)", times=float("inf")))
    with pytest.raises(ConnectionError) as caught:
        files.write_bytes(f"{bucket}/new", CONTENT)
    assert not isinstance(caught.value, UnavailableError)
    assert len(proxy.met) == 1
