"""Run the examples of docs/python.md unchanged."""

import re
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
import tensorflow as tf
from apache_beam.testing.util import assert_that
from PIL import Image

import beamscope
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from tests.beam_testing import pipeline

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "python.md").read_text()
# The model adds up 50,176 values in float32.
RTOL = 1e-3
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A SavedModel that answers the mean colour, 0 to 1."""

    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 224, 224, 3], tf.float32)])
        def __call__(self, images: tf.Tensor) -> tf.Tensor:
            return tf.reduce_mean(images, axis=[1, 2])

    path = tmp_path_factory.mktemp("model")
    tf.saved_model.save(MeanColour(), str(path))
    return path


@pytest.fixture(scope="module")
def names(model):
    """What the examples define, all of them run in order."""
    found = {}
    for example in EXAMPLES:
        exec(example.replace('"MODEL"', repr(str(model))), found)
    return found


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "s.svs"
    write_sample_slide(path, SampleSlide(width=1500, height=1500, mpp=1.0, coverage=1.0))
    return path


def colour_of_a_patch(slide):
    """The mean colour, 0 to 255, of the patch at (224, 224), by OpenSlide."""
    with openslide.OpenSlide(slide) as opened:
        patch = np.asarray(opened.read_region((224, 224), 0, (224, 224)))[..., :3]
    return patch.mean(axis=(0, 1))


def embeddings_at(table, x, y):
    (found,) = table.loc[(table.x_level0 == x) & (table.y_level0 == y), "embedding"]
    return found


def test_every_example_uses_the_public_names_only():
    imported = re.findall(r"^(?:import|from) (beamscope\S*)", PAGE, re.M)
    assert set(imported) == {"beamscope"}
    used = set(re.findall(r"\bbs\.(\w+)", PAGE))
    assert len(used) > 15
    assert used <= set(beamscope.__all__)


def test_the_pipeline_from_slides_to_a_dataset(names, slide, tmp_path):
    assert names["features"] == 3
    job = pipeline()
    output = tmp_path / "out"
    names["embed"](job, [str(slide)], names["model"], names["features"], str(output))
    job.run().wait_until_finish()
    table = pd.concat(map(pd.read_parquet, output.glob("embeddings/*.parquet")))
    assert len(table) == 36
    np.testing.assert_allclose(
        embeddings_at(table, 224, 224), colour_of_a_patch(slide) / 255, rtol=RTOL
    )
    assert pd.read_parquet(output / "slides.parquet").status.tolist() == ["done"]


def test_a_step_of_ones_own(names, slide, tmp_path):
    job = pipeline()
    colours = names["build"](job, [str(tmp_path / "*.svs")], str(tmp_path / "out"))
    expected = colour_of_a_patch(slide)

    def check(found):
        assert len(found) == 36
        (colour,) = [rgb for slide_id, x, y, rgb in found if (slide_id, x, y) == ("s", 224, 224)]
        np.testing.assert_allclose(colour, expected)

    assert_that(colours, check)
    job.run().wait_until_finish()


def test_without_beam(names, slide):
    blocks = list(names["embed_slide"](str(slide), names["embedder"]))
    table = pd.concat(
        rows.to_pandas().assign(embedding=list(embeddings)) for rows, embeddings in blocks
    )
    assert len(table) == 36
    np.testing.assert_allclose(
        embeddings_at(table, 224, 224), colour_of_a_patch(slide) / 255, rtol=RTOL
    )


def test_films(names, tmp_path):
    # Two halves of one grey each: their mean stays, whatever crops and resizes the film.
    (tmp_path / "films").mkdir()
    grey = np.repeat(np.array([[92, 112]], np.uint8), 150, axis=1).repeat(300, axis=0)
    Image.fromarray(grey).save(tmp_path / "films" / "halves.png")
    job = pipeline()
    output = tmp_path / "out"
    films = [str(tmp_path / "films")]
    names["embed_films"](job, films, names["model"], names["features"], str(output))
    job.run().wait_until_finish()
    table = pd.concat(map(pd.read_parquet, output.glob("embeddings/*.parquet")))
    (embedding,) = table.embedding
    np.testing.assert_allclose(embedding, [0.4] * 3, rtol=1e-3)
