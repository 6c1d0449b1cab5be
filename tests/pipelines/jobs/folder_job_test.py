"""A third job works after its registration, without any other edit."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.main import main
from beamscope.pipelines.templates.flex_template import metadata
from beamscope.transforms.output.run_record import read_run_record
from tests.pipelines.jobs import folder_job


@pytest.fixture(autouse=True)
def registered():
    JOBS.register("folders", folder_job.JOB, "embed the PNG files of folders")
    yield
    JOBS.unregister("folders")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 3], tf.float32)])
        def __call__(self, images: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(images, axis=[1, 2])

    directory = tmp_path_factory.mktemp("model") / "mean-colour"
    tf.saved_model.save(MeanColour(), str(directory))
    return directory


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name, colour in colours.items():
            Image.new("RGB", (20, 16), colour).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "b" / "broken.png").write_bytes(b"no picture")
    return [tmp_path / "a", tmp_path / "b"]


def command(folders: list[Path], model: Path, output: Path, *more: str) -> list[str]:
    return ["folders", "--input", *map(str, folders), "--model", str(model), "--output",
            str(output), "--compile", "none", *more]  # fmt: skip


def test_the_job_runs_and_resumes(folders, model, tmp_path, capsys):
    output = tmp_path / "out"
    assert main([*command(folders, model, output), "--verbose"]) == 0
    said = capsys.readouterr().out
    assert "folders   2 folders: 2 done" in said
    assert "pictures  6" in said
    table = pq.read_table(output / "embeddings/embeddings-00000-of-00001.parquet")
    found = {
        (row["folder"], row["name"]): np.round(row["embedding"], 5).tolist()
        for row in table.to_pylist()
    }
    colours = {"blue": [0, 0, 1], "green": [0, 1, 0], "red": [1, 0, 0]}
    assert found == {
        (folder, f"{name}.png"): colour for folder in "ab" for name, colour in colours.items()
    }
    (problem,) = pq.read_table(output / "problems.parquet").to_pylist()
    assert (problem["item_id"], problem["kind"]) == ("b", "corrupt_image")
    description = json.loads((output / "dataset.json").read_bytes())
    assert description["job"] == "folders"
    assert description["counts"]["folders"] == {"done": 2}

    (output / "dataset.json").unlink()
    record = read_run_record(str(output))
    assert record is not None
    shutil.rmtree(record.layout(str(output)).item_parts("a"))
    assert main([*command(folders, model, output), "--verbose"]) == 0
    said = capsys.readouterr().out
    assert "folders planned: 0 now, 2 before; blocks embedded: 2 now, 2 before" in said
    assert pq.read_table(output / "embeddings/embeddings-00000-of-00001.parquet").equals(table)


def test_status_overwrite_and_help_know_the_job(folders, model, tmp_path, capsys):
    output = tmp_path / "out"
    assert main(command(folders, model, output)) == 0
    assert main(["status", str(output)]) == 0
    assert "7 of 7 pictures (100.0%)" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert "embed the PNG files of folders" in capsys.readouterr().out
    assert main(command(folders, model, output, "--block_size", "3")) == 2
    assert "block_size was 2 and is now 3" in capsys.readouterr().err
    assert main(command(folders, model, output, "--block_size", "3", "--overwrite")) == 0
    left = sorted(path.name for path in output.iterdir())
    assert left == [
        ".beamscope", "dataset.json", "embeddings", "folders.parquet", "problems.parquet",
    ]  # fmt: skip
    (shard,) = (output / "embeddings").iterdir()
    assert shard.name == "embeddings-00000-of-00001.parquet"


def test_dataflow_knows_the_flags_of_the_job(folders, model, tmp_path, capsys):
    cloud = ["--runner_config", "dataflow_cpu", "--project", "p", "--region", "r",
             "--temp_location", "gs://b/t"]  # fmt: skip
    assert main(command(folders, model, tmp_path / "out", *cloud)) == 2
    assert f"--input {folders[0]}: is on this machine" in capsys.readouterr().err
    types = {p["name"]: p["paramType"] for p in metadata("folders")["parameters"]}
    assert types["input"] == "GCS_READ_FOLDER"
    assert types["model"] == "GCS_READ_FOLDER"
