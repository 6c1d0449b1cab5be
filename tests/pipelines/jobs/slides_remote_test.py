"""The slide job with everything on gs://, against an emulator on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from PIL import Image

from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.storage import files
from tests.shared_data import shared
from tests.slides.store import watched_store

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with watched_store(tmp_path_factory.mktemp("gcs")) as store:
        yield store


@pytest.fixture(scope="module")
def bucket(store):
    return store.bucket


@pytest.fixture(scope="module")
def inputs(bucket, tmp_path_factory):
    """Two slides, a manifest, masks and a model, on gs:// and, alike, on disk."""

    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 64, 64, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    local = tmp_path_factory.mktemp("inputs")
    tf.saved_model.save(MeanColour(), str(local / "model"))
    for seed, name in enumerate(("a", "b")):
        spec = SampleSlide(width=1200, height=1000, mpp=0.5, seed=seed)
        write_sample_slide(local / f"{name}.svs", spec)
    Image.fromarray(np.full((100, 120), 255, np.uint8)).save(local / "all.png")
    (local / "m.csv").write_text("slide_id,uri,mask\na,a.svs,all.png\nb,b.svs,all.png\n")
    for path in local.rglob("*"):
        if path.is_file():
            with FileSystems.create(f"{bucket}/in/{path.relative_to(local)}") as copy:
                copy.write(path.read_bytes())
    return local


def command(where, output, cache):
    return [sys.executable, "-m", "beamscope", "slides", "--manifest", f"{where}/m.csv",
            "--model", f"{where}/model", "--output", str(output), "--tissue", "mask",
            "--block_size", "4", "--cache_dir", str(cache)]  # fmt: skip


def table(uri):
    with files.open_read(uri) as file:
        return pq.read_table(file)


def begun(output):
    """Whether both slides are planned, and a block is finished."""
    paths = [file.path for file in files.list_files(f"{output}/.beamscope")]
    plans = [path for path in paths if "/plans/" in path and path.endswith(".arrow")]
    return len(plans) == 2 and any("/parts/" in path for path in paths)


def test_everything_on_gs_killed_and_resumed(bucket, inputs, tmp_path):
    local = tmp_path / "local"
    subprocess.run(command(inputs, local, tmp_path / "c1"), cwd=ROOT, check=True)

    remote = f"{bucket}/out"
    killed = subprocess.Popen(command(f"{bucket}/in", remote, tmp_path / "c2"), cwd=ROOT)
    while killed.poll() is None and not begun(remote):
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert not files.exists(f"{remote}/dataset.json")
    said = subprocess.run(
        [*command(f"{bucket}/in", remote, tmp_path / "c2"), "--verbose"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "slides planned: 0 now, 2 before" in said

    name = "embeddings/embeddings-00000-of-00001.parquet"
    assert table(f"{remote}/{name}").equals(table(str(local / name)))
    there = table(f"{remote}/slides.parquet").drop_columns("uri")
    assert there.equals(table(str(local / "slides.parquet")).drop_columns("uri"))
    assert json.loads(files.read_bytes(f"{remote}/dataset.json"))["counts"]["rows"] == len(
        table(f"{remote}/{name}")
    )
    status = subprocess.run(
        [sys.executable, "-m", "beamscope", "status", remote],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "complete" in status
    # They were read by ranges, and never copied; their mask was.
    assert [path.name for path in (tmp_path / "c2").glob("*/*")] == ["all.png"]
    readers = table(f"{remote}/slides.parquet").column("reader").to_pylist()
    assert readers == ["native", "native"]


def test_what_only_openslide_reads_is_copied_once(bucket, inputs, tmp_path):
    output, cache = tmp_path / "out", tmp_path / "cache"
    subprocess.run(
        [*command(f"{bucket}/in", output, cache), "--reader", "openslide"], cwd=ROOT, check=True
    )
    assert len(list(cache.glob("*/*.svs"))) == 2
    local = tmp_path / "local"
    subprocess.run(command(inputs, local, tmp_path / "none"), cwd=ROOT, check=True)
    name = "embeddings/embeddings-00000-of-00001.parquet"
    assert table(str(output / name)).equals(table(str(local / name)))


def test_a_slide_by_ranges_costs_little_more_than_its_bytes(store, inputs, tmp_path):
    path = tmp_path / "slides" / "large.svs"
    path.parent.mkdir()
    write_sample_slide(path, SampleSlide(width=6000, height=5000, mpp=0.5, coverage=0.9))
    uri = f"{store.bucket}/slides/large.svs"
    with FileSystems.create(uri) as copy:
        copy.write(path.read_bytes())
    for where, output in ((path, tmp_path / "local"), (uri, tmp_path / "remote")):
        store.forget()
        arguments = ["--input", str(where), "--model", str(inputs / "model"), "--output",
                     str(output), "--cache_dir", str(tmp_path / "cache")]  # fmt: skip
        subprocess.run(
            [sys.executable, "-m", "beamscope", "slides", *arguments], cwd=ROOT, check=True
        )
    name = "embeddings/embeddings-00000-of-00001.parquet"
    assert table(str(tmp_path / "remote" / name)).equals(table(str(tmp_path / "local" / name)))
    assert not list((tmp_path / "cache").glob("*/*"))
    # Of blocks of 16 x 16 patches of 64 px, some tiles on the edges are fetched twice.
    assert 0 < store.fetched["slides/large.svs"] < 1.6 * path.stat().st_size


def test_a_dicom_slide_comes_with_its_companions(bucket, tmp_path):
    folder = shared("data/slides/cmu1-dicom")
    for path in folder.iterdir():
        with FileSystems.create(f"{bucket}/dicom/cmu1/{path.name}") as copy:
            copy.write(path.read_bytes())
    arguments = ["--input", f"{bucket}/dicom/", "--model",
                 str(shared("models/squeezenet11-imagenet")), "--output", str(tmp_path / "out"),
                 "--cache_dir", str(tmp_path / "cache")]  # fmt: skip
    subprocess.run([sys.executable, "-m", "beamscope", "slides", *arguments], cwd=ROOT, check=True)
    (row,) = pq.read_table(tmp_path / "out" / "slides.parquet").to_pylist()
    assert (row["slide_id"], row["status"], row["vendor"]) == ("cmu1", "done", "dicom")
    assert row["patches_embedded"] > 50
