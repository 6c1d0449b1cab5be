"""Both jobs with everything on s3://, against moto's server on this machine."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.storage import files
from beamscope.transforms.xrays.sample import sample_jpeg
from tests.s3 import forbid, s3_server
from tests.sources.archive_makers import make_tar, make_zip
from tests.xrays.models import save_grid_model

ROOT = Path(__file__).resolve().parents[3]
SHARD = "embeddings/embeddings-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as bucket:
        yield bucket


def upload(local, remote):
    for path in local.rglob("*"):
        if path.is_file():
            files.write_bytes(f"{remote}/{path.relative_to(local)}", path.read_bytes())


def table(uri):
    with files.open_read(str(uri)) as file:
        return pq.read_table(file)


@pytest.fixture(scope="module")
def slides(bucket, tmp_path_factory):
    """Three slides, a manifest, masks and a model, on disk and, alike, on s3://."""

    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 64, 64, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    local = tmp_path_factory.mktemp("slides")
    tf.saved_model.save(MeanColour(), str(local / "m[v2]"))
    for seed, name in enumerate("abc"):
        spec = SampleSlide(width=1200, height=1000, mpp=0.5, seed=seed)
        write_sample_slide(local / f"{name}.svs", spec)
    Image.fromarray(np.full((100, 120), 255, np.uint8)).save(local / "all.png")
    rows = "".join(f"{name},{name}.svs,all.png\n" for name in "abc")
    (local / "m.csv").write_text(f"slide_id,uri,mask\n{rows}")
    upload(local, f"{bucket}/slides")
    return local


def slide_job(where, output, cache, *more):
    return [sys.executable, "-m", "beamscope", "slides", "--manifest", f"{where}/m.csv",
            "--model", f"{where}/m[v2]", "--output", str(output), "--tissue", "mask",
            "--block_size", "4", "--cache_dir", str(cache), *more]  # fmt: skip


def run(command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def parts_in(output):
    return [file for file in files.list_files(f"{output}/.beamscope") if "/parts/" in file.path]


def test_slides_killed_and_resumed(bucket, slides, tmp_path):
    local, remote = tmp_path / "local", f"{bucket}/slides-out"
    run(slide_job(slides, local, tmp_path / "c1"))

    job = slide_job(f"{bucket}/slides", remote, tmp_path / "c2")
    killed = subprocess.Popen(job, cwd=ROOT)
    while killed.poll() is None and len(parts_in(remote)) < 3:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert not files.exists(f"{remote}/dataset.json")
    parts = [file for file in files.list_files(f"{remote}/.beamscope") if "/parts/" in file.path]
    assert parts
    versions = {file.path: file.version for file in parts}
    assert "slides planned: 0 now, 3 before" in run([*job, "--verbose"])

    assert table(f"{remote}/{SHARD}").equals(table(local / SHARD))
    there = table(f"{remote}/slides.parquet")
    assert there.drop_columns("uri").equals(table(local / "slides.parquet").drop_columns("uri"))
    assert set(there["reader"].to_pylist()) == {"native"}
    # Finished blocks were not embedded again, and slides were read by ranges and never copied.
    now = {file.path: file.version for file in files.list_files(f"{remote}/.beamscope")}
    assert versions.items() <= now.items()
    assert {path.suffix for path in (tmp_path / "c2").glob("*/*")} == {".png"}
    described = json.loads(files.read_bytes(f"{remote}/dataset.json"))
    assert described["counts"]["rows"] == len(table(f"{remote}/{SHARD}"))
    assert "complete" in run([sys.executable, "-m", "beamscope", "status", remote])


def test_a_slide_that_only_openslide_reads_is_copied(bucket, slides, tmp_path):
    output, cache = tmp_path / "out", tmp_path / "cache"
    run(slide_job(f"{bucket}/slides", output, cache, "--reader", "openslide"))
    assert len(list(cache.glob("*/*.svs"))) == 3
    run(slide_job(slides, tmp_path / "local", tmp_path / "none"))
    assert table(output / SHARD).equals(table(tmp_path / "local" / SHARD))


@pytest.fixture(scope="module")
def films(bucket, tmp_path_factory):
    """Archives of each kind, a folder, a catalogue and a model, on disk and on s3://."""
    local = tmp_path_factory.mktemp("films")
    (local / "in").mkdir()
    members = {f"p{i}/f{i}.jpg": sample_jpeg(i, i % 4, 120) for i in range(6)}
    make_zip(local / "in" / "x.zip", {f"z/{name}": data for name, data in members.items()})
    make_tar(local / "in" / "y.tar", {f"t/{name}": data for name, data in members.items()})
    make_tar(local / "in" / "w.tgz", {f"g/{name}": data for name, data in members.items()}, "w:gz")
    for name, data in members.items():
        path = local / "in" / "set[1]" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    rows = "".join(f"set[1]/{name},{i}\n" for i, name in enumerate(members))
    (local / "catalog.csv").write_text(f"path,patient_id\n{rows}")
    save_grid_model(local / "model")
    upload(local, f"{bucket}/films")
    return local


def film_job(where, output):
    return ["xrays", "--input", f"{where}/in/", "--model", f"{where}/model", "--catalog", "csv",
            "--catalog_file", f"{where}/catalog.csv", "--catalog_key", "path", "--block_size", "2",
            "--output", str(output)]  # fmt: skip


def test_films(bucket, films, tmp_path):
    assert main(film_job(films, tmp_path / "local")) == 0
    remote = f"{bucket}/films-out"
    assert main(film_job(f"{bucket}/films", remote)) == 0
    ours, theirs = table(f"{remote}/{SHARD}"), table(tmp_path / "local" / SHARD)
    assert len(ours) == 24
    assert sum(ours["in_catalog"].to_pylist()) == 6
    source = ours["source"].to_pylist()
    expected = [uri.replace(str(films), f"{bucket}/films") for uri in theirs["source"].to_pylist()]
    assert source == expected
    assert ours.drop_columns("source").equals(theirs.drop_columns("source"))

    # What is done stays done: only the parts that are gone are embedded again.
    before = {file.path: file.version for file in files.list_files(f"{remote}/.beamscope")}
    lost = [path for path in before if "/parts/" in path][:2]
    files.delete([*lost, f"{remote}/dataset.json"])
    assert main(film_job(f"{bucket}/films", remote)) == 0
    assert table(f"{remote}/{SHARD}").equals(ours)


def test_what_may_not_be_read_is_a_row(bucket, films, capsys):
    forbid(f"{bucket}/films/in/x.zip", "s3:GetObject", "s3:HeadObject")
    remote = f"{bucket}/films-out-403"
    assert main([*film_job(f"{bucket}/films", remote), "--max_failed", "0.2"]) == 0
    (problem,) = table(f"{remote}/problems.parquet").to_pylist()
    assert (problem["kind"], problem["member"]) == ("unreadable_file", None)
    assert problem["message"].startswith(f"{bucket}/films/in/x.zip: no permission")
    assert len(table(f"{remote}/{SHARD}")) == 18

    forbid(f"{bucket}/films/catalog.csv", "s3:GetObject", "s3:HeadObject")
    capsys.readouterr()
    assert main(film_job(f"{bucket}/films", f"{remote}-2")) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"--catalog_file {bucket}/films/catalog.csv: no permission" in said
    assert not files.list_files(f"{remote}-2")


def test_a_plan_of_slides_lies_beside_them(bucket, slides, tmp_path, monkeypatch):
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path / "cache"))
    local, remote = tmp_path / "local", f"{bucket}/plan-out"
    flags = ["--patch_size", "64", "--tissue", "otsu", "--geojson"]
    for where, output in ((slides, local), (f"{bucket}/slides", remote)):
        folder = tmp_path / f"copies-{output == local}"
        assert main(["plan", "slides", "--manifest", f"{where}/m.csv", "--output", str(output),
                     "--cache_dir", str(folder), *flags]) == 0  # fmt: skip
    here = json.loads((local / "plan" / "plan.json").read_text())
    there = json.loads(files.read_bytes(f"{remote}/plan/plan.json"))
    assert there["patches"] == here["patches"] > 20
    assert (there["funnel"], there["bytes_to_read"]) == (here["funnel"], here["bytes_to_read"])
    for name in ("a", "b", "c"):
        path = f"plan/geojson/{name}.geojson"
        assert files.read_bytes(f"{remote}/{path}") == (local / path).read_bytes()
    assert (
        files.read_bytes(f"{remote}/plan/index.html")
        == (local / "plan" / "index.html").read_bytes()
    )
