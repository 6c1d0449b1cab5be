"""Whole jobs on stores that answer 429, 500, 503, or halfway, or not at all."""

import itertools
import re
import urllib.parse

import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.storage import files, google_store, retries, s3_store
from tests.faults.job_test import registered
from tests.faulty_proxy import CUT, LOST, RESET, STATUSES, Fault, faulty_proxy
from tests.gcs import gcs_emulator
from tests.s3 import s3_server

__all__ = ["registered"]
# The second is what the emulator of gs:// is given.
SECRETS = ("a-secret-of-zaphod", "beamscope-test-token")
SERVERS = {
    "gs": (gcs_emulator, "STORAGE_EMULATOR_HOST"), "s3": (s3_server, "AWS_ENDPOINT_URL")
}  # fmt: skip


@pytest.fixture(params=["gs", "s3"])
def store(request, tmp_path, monkeypatch, registered):
    """A bucket with three slides, and the proxy before it."""
    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(retries, "_said", set())
    monkeypatch.setattr(retries, "_gave_up_at", None)
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda *args, **kwargs: 0.01)
    serve, variable = SERVERS[request.param]
    spec = SampleSlide(width=400, height=300, mpp=0.5)
    write_sample_slide(tmp_path / "a.svs", spec)
    (tmp_path / "model.brightness").write_text("a model")
    with serve(tmp_path) as bucket:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRETS[0])
        s3_store._store.cache_clear()
        # The pool of readers keeps slides open, by their names, from test to test.
        bucket += f"/{tmp_path.name}"
        for name in "abc":
            files.write_bytes(f"{bucket}/in/{name}.svs", (tmp_path / "a.svs").read_bytes())
        with faulty_proxy(variable) as proxy:
            yield bucket, proxy
    google_store._store.cache_clear()
    s3_store._store.cache_clear()


def job(bucket, tmp_path, output):
    return ["slides", "--input", f"{bucket}/in/*.svs", "--model", f"{tmp_path}/model.brightness",
            "--compile", "none", "--output", f"{bucket}/{output}", "--block_size", "256",
            "--mpp", "0.5", "--tissue", "none", "--cache_dir", f"{tmp_path}/cache"]  # fmt: skip


def tables(output):
    found = [file.path for file in files.list_files(output)]
    tables = {}
    for path in found:
        if path.endswith(".parquet"):
            with files.open_read(path) as file:
                tables[path.rsplit("/", 1)[-1]] = pq.read_table(file).to_pylist()
    return tables


def test_one_request_in_seven_goes_wrong(store, tmp_path, capfd, caplog):
    bucket, proxy = store
    assert main(job(bucket, tmp_path, "undisturbed")) == 0
    ways = itertools.cycle([*STATUSES, RESET, CUT, LOST])
    count = itertools.count(1)
    take = proxy.take

    def every_seventh(line):
        if next(count) % 7 == 0:
            proxy.faults.append(Fault(next(ways)))
        return take(line)

    proxy.take = every_seventh
    proxy.met.clear()
    capfd.readouterr()
    assert main(job(bucket, tmp_path, "out")) == 0
    said = capfd.readouterr()
    proxy.take = take
    assert len(proxy.met) > 30
    found = tables(f"{bucket}/out")
    assert len(found) == 3
    assert found == tables(f"{bucket}/undisturbed")
    assert "5,550 planned = 5,550 embedded + 0 failed" in said.out
    assert "Traceback" not in said.err
    assert caplog.text.count("does not answer as it should") == 1
    # What lost its answer was not taken for the work of another process that has died.
    assert not [file for file in files.list_files(f"{bucket}/out") if "/tries/" in file.path]


# While blocks are written, and while a slide is read.
@pytest.mark.parametrize(("where", "after"), [("^(PUT|POST)", 30), (r"^(GET|HEAD).*in.b\.svs", 4)])
def test_a_store_that_goes_away_and_comes_back(
    store, tmp_path, capfd, caplog, monkeypatch, where, after
):
    bucket, proxy = store
    monkeypatch.setattr(retries, "PATIENCE_S", 0.2)
    take, seen = proxy.take, []

    def away(line):
        if re.search(where, urllib.parse.unquote(line)):
            seen.append(line)
        if len(seen) > after:
            proxy.faults = [Fault(503, times=1e9)]
        return take(line)

    proxy.take = away
    capfd.readouterr()
    assert main(job(bucket, tmp_path, "out")) == 1
    said = capfd.readouterr().err
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("beamscope slides: ")]
    assert bucket in line
    assert line.endswith("what is done is kept, and the same command goes on from there")
    assert caplog.text.count("does not answer as it should") == 1

    for secret in SECRETS:
        assert secret not in said + caplog.text

    proxy.take, proxy.faults = take, []
    monkeypatch.setattr(retries, "PATIENCE_S", 20)
    google_store._store.cache_clear()
    s3_store._store.cache_clear()
    assert main(job(bucket, tmp_path, "out")) == 0
    assert "5,550 planned = 5,550 embedded + 0 failed" in capfd.readouterr().out
    assert main(job(bucket, tmp_path, "undisturbed")) == 0
    assert tables(f"{bucket}/out") == tables(f"{bucket}/undisturbed")
    for file in files.list_files(f"{bucket}/out"):
        assert not any(secret.encode() in files.read_bytes(file.path) for secret in SECRETS)
