"""The slide job with an ONNX model: its rows are what onnxruntime says of OpenSlide's pixels."""

import json

import numpy as np
import onnxruntime
import openslide
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from beamscope.pipelines.main import main
from tests.inference import onnx_models
from tests.inference.onnx_models import channels_first
from tests.shared_data import shared

SLIDE = "data/slides/tcga_generic_pyramid_mpp0.5.tiff"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    onnx_models.cnn(folder / "encoder.onnx", external=True, shape=("n", 3, 224, 224))
    return folder / "encoder.onnx"


def expected(model, rows, slide):
    """OpenSlide and onnxruntime, called by hand."""
    session = onnxruntime.InferenceSession(str(model))
    with openslide.OpenSlide(slide) as opened:
        patches = []
        for row in rows.itertuples():
            region = opened.read_region((row.x_level0, row.y_level0), 0, (224, 224))
            white = Image.new("RGBA", region.size, "white")
            patches.append(np.asarray(Image.alpha_composite(white, region).convert("RGB")))
    images = channels_first(np.stack(patches))
    images = (images - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    (answers,) = session.run(None, {"pixels": images.astype(np.float32)})
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["direct", "direct_parallel"])
def test_rows_are_what_openslide_and_onnxruntime_say(model, runner, tmp_path, capsys):
    slide, output = shared(SLIDE), tmp_path / "out"
    status = main(
        ["slides", "--input", str(slide), "--model", str(model), "--output", str(output),
         "--input_mean", *map(str, MEAN), "--input_std", *map(str, STD),
         "--runner_config", runner]
    )  # fmt: skip
    assert status == 0
    rows = pd.read_parquet(output / "embeddings")
    assert len(rows) > 20
    embeddings = np.stack(rows["embedding"])
    wanted = expected(model, rows, slide)
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(wanted, axis=1)
    assert ((embeddings * wanted).sum(axis=1) / lengths).min() > 0.9999
    np.testing.assert_allclose(embeddings, wanted, atol=1e-4 * np.abs(wanted).max())

    (said,) = pq.read_table(output / "slides.parquet").to_pylist()
    assert said["level"] == 0
    described = json.loads((output / "dataset.json").read_text())["model"]
    assert (described["backend"], described["name"]) == ("onnx", "encoder.onnx")
    assert described["input_layout"] == "channels_first"


def test_a_model_without_its_data_stops_the_job_in_one_line(model, tmp_path, capsys):
    (tmp_path / "m.onnx").write_bytes(model.read_bytes())
    status = main(
        ["slides", "--input", str(shared(SLIDE)), "--model", str(tmp_path / "m.onnx"),
         "--output", str(tmp_path / "out")]
    )  # fmt: skip
    assert status == 2
    said = capsys.readouterr().err
    assert "model m.onnx: its external data encoder.onnx.data is not beside it" in said
    assert not (tmp_path / "out").exists()


def test_check_model_says_how_an_onnx_model_is_called(model, capsys):
    assert main(["check-model", str(model.parent)]) == 0
    said = capsys.readouterr().out
    assert "backend" in said
    assert "onnx" in said
    assert "float32 RGB 224x224, channels first (size from: model)" in said
    assert "compile     openvino" in said
