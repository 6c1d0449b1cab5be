"""The commands of docs/models.md that embed with UNI and CONCH together, on stand-ins of both."""

import re
import shlex
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
import tensorflow as tf

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from tests.inference import onnx_models

PAGE = Path(__file__).resolve().parents[1] / "docs" / "models.md"
# Of the preset: side, features, mean, std; and the kernel of its makers.
UNI = (224, 1024, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
CONCH = (448, 512, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711),
         "bicubic")  # fmt: skip
CELLS = 8


def stand_in(path, side, features):
    """The means of 8 x 8 cells of an image, and a product with weights, which are returned."""
    model = onnx_models.Model(("n", 3, side, side))
    cell = side // CELLS
    means = model.add("AveragePool", "pixels", kernel_shape=[cell] * 2, strides=[cell] * 2)
    weights = model.random.normal(0, 1, (3 * CELLS * CELLS, features)).astype(np.float32)
    flat = model.add("Flatten", means)
    answer = model.add("MatMul", flat, model.constant(weights))
    model.output(answer, "embedding", ("n", features))
    model.save(path)
    return weights


@pytest.mark.slow
def test_uni_and_conch_see_the_same_patches_each_in_its_way(tmp_path, capsys):
    models, slides, output = tmp_path / "models", tmp_path / "slides", tmp_path / "out"
    slides.mkdir()
    write_sample_slide(slides / "a.svs", SampleSlide(width=1100, height=900, mpp=0.5, seed=4))
    weights = {name: stand_in(models / f"{name}.onnx", *facts[:2])
               for name, facts in (("uni", UNI), ("conch", CONCH))}  # fmt: skip
    (block,) = re.findall(r"### UNI and CONCH together\n.*?```sh\n(.*?)```", PAGE.read_text(), re.S)
    for old, new in (("MODELS", models), ("/slides/", f"{slides}/"), ("OUTPUT", output),
                     ("\\\n", " ")):  # fmt: skip
        block = block.replace(old, str(new))
    for line in block.strip().splitlines():
        command, _, target = line.partition(" > ")
        capsys.readouterr()
        assert main(shlex.split(command)[1:]) == 0
        if target:
            Path(target).write_text(capsys.readouterr().out)
    said = capsys.readouterr().err
    assert "patches of 256 px are resized to 224 px for the model uni.onnx (resize: bil" in said
    assert "patches of 256 px are resized to 448 px for the model conch.onnx (resize: bic" in said
    rows = pd.read_parquet(output / "embeddings")
    assert len(rows) >= 4
    with openslide.OpenSlide(slides / "a.svs") as slide:
        for row in rows.itertuples():
            region = slide.read_region((row.x_level0, row.y_level0), 0, (256, 256))
            pixels = np.asarray(region.convert("RGB"), np.float32)
            for name, found, (side, _, mean, std, kernel) in (
                ("uni", row.embedding_uni, UNI), ("conch", row.embedding_conch, CONCH)
            ):  # fmt: skip
                image = tf.image.resize(pixels, (side, side), kernel, antialias=True).numpy()
                image = (image.clip(0, 255) / 255 - mean) / std
                cells = image.reshape(CELLS, side // CELLS, CELLS, -1, 3).mean(axis=(1, 3))
                expected = cells.transpose(2, 0, 1).reshape(-1) @ weights[name]
                scale = np.linalg.norm(found) * np.linalg.norm(expected)
                assert found @ expected / scale > 0.9999
                np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())
