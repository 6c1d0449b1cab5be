"""A preset end to end: from image files, through the command line, to a dataset."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from beamscope.pipelines.main import main
from tests.inference import models

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WEIGHTS = np.random.default_rng(2).normal(size=(3, 1024)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A stand-in for UNI: of its input, and as many features."""

    def call(network: models.Network, images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(images, [1, 2]) @ tf.constant(WEIGHTS)

    folder = tmp_path_factory.mktemp("models")
    return models.save(
        folder / "m", call, spec=tf.TensorSpec([None, 224, 224, 3], tf.float32, name="images")
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (224, 224, 3), np.uint8)
        pixels[..., number] //= 4
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_images_by_the_preset_of_uni(
    model: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    flags = ["images", "--input", str(images), "--model", model, "--output", str(output)]
    assert main([*flags, "--preset", "uni"]) == 0
    said = capsys.readouterr()
    assert said.err.count("model card preset uni: CC-BY-NC-ND 4.0") == 1
    assert "assumed" not in said.out

    (shard,) = output.glob("embeddings/*.parquet")
    rows = pq.read_table(shard).to_pylist()
    assert len(rows) == 3
    for row in rows:
        pixels = np.asarray(Image.open(images / f"{Path(row['image_id']).stem}.png"))
        expected = ((pixels / 255 - MEAN) / STD).mean(axis=(0, 1)) @ WEIGHTS
        np.testing.assert_allclose(row["embedding"], expected, rtol=1e-3, atol=1e-3)
    recorded = json.loads((output / "dataset.json").read_text())["model"]
    assert recorded["card"] == "preset uni"
    assert set(recorded["from_card"]) == {
        *("input_size", "input_range", "input_mean", "input_std", "pooling", "features")
    }
    assert recorded["input_mean"] == list(MEAN)
    assert (recorded["size_source"], recorded["range_source"]) == ("card", "card")


def test_a_card_of_another_model_is_refused_before_anything_is_written(
    model: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    flags = ["images", "--input", str(images), "--model", model, "--output", str(output)]
    assert main([*flags, "--preset", "uni", "--input_size", "448"]) == 2
    assert "--input_size 448 instead of the card's 224" in capsys.readouterr().err
    assert main([*flags, "--preset", "uni2"]) == 2
    assert "features: says 1536, and the model m gives 1024" in capsys.readouterr().err
    assert main([*flags, "--preset", "uni2", "--model_card", "c.yaml"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not output.exists()


def test_check_model_shows_the_card(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-model", model, "--preset", "uni", "--compile", "none"]) == 0
    shown = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "preset uni (gave: input_size, " in shown["card"]
    assert "0.485 0.456 0.406" in shown["mean"]
    assert "(from: card)" in shown["range"]
    assert "(size from: card)" in shown["input"]
    assert main(["check-model", model, "--preset", "uni", "--json", "--compile", "none"]) == 0
    assert json.loads(capsys.readouterr().out)["card"] == "preset uni"
