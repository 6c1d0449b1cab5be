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

from tests.gcs import gcs_emulator
from tests.shared_data import shared
from transforms import files
from transforms.slides.sample.slide import SampleSlide, write_sample_slide

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with gcs_emulator(tmp_path_factory.mktemp("gcs")) as uri:
        yield uri


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
    return [sys.executable, "-m", "pipelines.embed_slides", "--manifest", f"{where}/m.csv",
            "--model", f"{where}/model", "--output", str(output), "--tissue", "mask",
            "--block_size", "4", "--cache_dir", str(cache)]  # fmt: skip


def table(uri):
    with files.open_read(uri) as file:
        return pq.read_table(file)


def test_everything_on_gs_killed_and_resumed(bucket, inputs, tmp_path):
    local = tmp_path / "local"
    subprocess.run(command(inputs, local, tmp_path / "c1"), cwd=ROOT, check=True)

    remote = f"{bucket}/out"
    killed = subprocess.Popen(command(f"{bucket}/in", remote, tmp_path / "c2"), cwd=ROOT)
    while killed.poll() is None and len(files.list_files(f"{remote}/.beamscope")) < 8:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    assert not files.exists(f"{remote}/dataset.json")
    said = subprocess.run(
        command(f"{bucket}/in", remote, tmp_path / "c2"),
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "slides planned: 0 now, 2 before" in said

    name = "embeddings-00000-of-00001.parquet"
    assert table(f"{remote}/{name}").equals(table(str(local / name)))
    there = table(f"{remote}/slides.parquet").drop_columns("uri")
    assert there.equals(table(str(local / "slides.parquet")).drop_columns("uri"))
    assert json.loads(files.read_bytes(f"{remote}/dataset.json"))["counts"]["rows"] == len(
        table(f"{remote}/{name}")
    )
    status = subprocess.run(
        [sys.executable, "-m", "pipelines.main", "status", remote],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "complete" in status
    # Local copies lie in the cache, whole, and were made once.
    assert len(list((tmp_path / "c2").glob("*/*.svs"))) == 2


def test_a_dicom_slide_comes_with_its_companions(bucket, tmp_path):
    folder = shared("data/slides/cmu1-dicom")
    for path in folder.iterdir():
        with FileSystems.create(f"{bucket}/dicom/cmu1/{path.name}") as copy:
            copy.write(path.read_bytes())
    arguments = ["--input", f"{bucket}/dicom/", "--model",
                 str(shared("models/squeezenet11-imagenet")), "--output", str(tmp_path / "out"),
                 "--cache_dir", str(tmp_path / "cache")]  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "pipelines.embed_slides", *arguments], cwd=ROOT, check=True
    )
    (row,) = pq.read_table(tmp_path / "out" / "slides.parquet").to_pylist()
    assert (row["slide_id"], row["status"], row["vendor"]) == ("cmu1", "done", "dicom")
    assert row["patches_embedded"] > 50
