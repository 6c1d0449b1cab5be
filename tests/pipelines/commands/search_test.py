"""Search real datasets by the command, and look at its tables and its page."""

import base64
import io
import re
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.xrays.sample import sample_members
from tests.sources.archive_makers import make_zip

SIDE = 64


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    class Grid(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32)])
        def __call__(self, images):
            cells = tf.reshape(images, [-1, 4, SIDE // 4, 4, SIDE // 4, 3])
            return tf.reshape(tf.reduce_mean(cells, axis=[2, 4]), [-1, 48]) - 0.7

    path = tmp_path_factory.mktemp("model") / "grid"
    tf.saved_model.save(Grid(), str(path))
    return str(path)


@pytest.fixture(scope="module")
def slides(model, tmp_path_factory):
    """A dataset of two slides, which can be moved away."""
    folder = tmp_path_factory.mktemp("slides")
    for name, seed in (("a", 1), ("b", 2)):
        spec = SampleSlide(width=1200, height=1000, mpp=0.5, seed=seed)
        write_sample_slide(folder / f"{name}.svs", spec)
    assert main(["slides", "--input", str(folder), "--model", model, "--compile", "none",
                 "--output", str(folder / "out"), "--block_size", "32"]) == 0  # fmt: skip
    return folder


def search(dataset, *arguments):
    return main(["search", str(dataset), *map(str, arguments)])


def cosines(rows, query):
    vectors = np.stack(rows["embedding"]).astype(np.float64)
    query = np.asarray(query, np.float64)
    return vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)


def pictures(page):
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        for data in re.findall(r'base64,([^"]+)"', page.read_text())
    ]


def test_a_place_finds_its_neighbours_with_table_and_page(slides, tmp_path, capsys):
    rows = pd.read_parquet(slides / "out" / "embeddings")
    query = rows.iloc[len(rows) // 2]
    like = f"{query.slide_id}:{query.x_level0 + 10},{query.y_level0 + 20}"
    assert search(slides / "out", "--like", like, "--k", 8, "--output", tmp_path) == 0
    rows["cosine"] = cosines(rows, query.embedding)
    expected = rows.drop(query.name).nlargest(8, "cosine")
    found = pq.read_table(tmp_path / "hits.parquet").to_pandas()
    np.testing.assert_allclose(found["cosine"], expected["cosine"], atol=1e-6)
    same = ["slide_id", "x_level0", "y_level0"]
    assert found[same].to_numpy().tolist() == expected[same].to_numpy().tolist()
    assert found["rank"].tolist() == list(range(1, 9))
    assert found["uri"][0] == str(slides / f"{found['slide_id'][0]}.svs")
    assert pd.read_csv(tmp_path / "hits.csv")["x_level0"].tolist() == found["x_level0"].tolist()
    said = capsys.readouterr().out
    assert said.splitlines()[0].split()[:2] == ["1", f"{found['cosine'][0]:.4f}"]
    assert "hits.html" in said
    shown = pictures(tmp_path / "hits.html")
    assert len(shown) == 9
    assert {picture.shape for picture in shown} == {(SIDE, SIDE, 3)}
    # The picture of the query has the mean colour that its embedding has.
    np.testing.assert_allclose(
        shown[0].mean(axis=(0, 1)) / 255,
        (query.embedding.reshape(4, 4, 3) + 0.7).mean(axis=(0, 1)),
        atol=0.01,
    )


def test_a_file_finds_the_patch_that_it_is(slides, model, tmp_path):
    rows = pd.read_parquet(slides / "out" / "embeddings")
    query = rows.iloc[5]
    like = f"{query.slide_id}:{query.x_level0},{query.y_level0}"
    assert search(slides / "out", "--like", like, "--k", 1, "--output", tmp_path / "one") == 0
    file = tmp_path / "patch.png"
    Image.fromarray(pictures(tmp_path / "one" / "hits.html")[0]).save(file)
    assert search(slides / "out", "--like", file, "--model", model, "--k", 3,
                  "--output", tmp_path / "two") == 0  # fmt: skip
    found = pq.read_table(tmp_path / "two" / "hits.parquet").to_pylist()
    assert (found[0]["slide_id"], found[0]["x_level0"], found[0]["y_level0"]) == (
        query.slide_id, query.x_level0, query.y_level0,
    )  # fmt: skip
    assert found[0]["cosine"] > 0.999


def test_slides_that_are_gone_are_said(slides, tmp_path, capsys):
    dataset = tmp_path / "out"
    shutil.copytree(slides / "out", dataset)
    table = pq.read_table(dataset / "slides.parquet").to_pandas()
    table["uri"] = "/gone/" + table["slide_id"] + ".svs"
    table.to_parquet(dataset / "slides.parquet")
    row = pd.read_parquet(dataset / "embeddings").iloc[0]
    like = f"{row.slide_id}:{row.x_level0},{row.y_level0}"
    assert search(dataset, "--like", like, "--k", 3, "--output", tmp_path / "hits") == 0
    assert "pictures  3 are missing" in capsys.readouterr().out
    page = (tmp_path / "hits" / "hits.html").read_text()
    assert page.count('class="gone"') == 4
    assert "/gone/" in page


def test_films_and_images_are_found_by_their_ids(model, tmp_path, capsys):
    films = dict(sample_members(8, seed=5))
    place = make_zip(tmp_path / "x.zip", films).uri
    for job in ("xrays", "images"):
        output = tmp_path / job
        assert main([job, "--input", place, "--model", model, "--compile", "none",
                     "--output", str(output)]) == 0  # fmt: skip
        rows = pd.read_parquet(output / "embeddings")
        like = rows["image_id"][2]
        hits = tmp_path / f"{job}-hits"
        assert search(output, "--like", like, "--k", 4, "--output", hits) == 0
        found = pq.read_table(hits / "hits.parquet").to_pandas()
        expected = pd.Series(cosines(rows, rows["embedding"][2])).drop(2).nlargest(4)
        np.testing.assert_allclose(found["cosine"], expected, atol=1e-6)
        assert found["image_id"].tolist() == rows["image_id"][expected.index].tolist()
        assert len(pictures(hits / "hits.html")) == 5
        file = tmp_path / "film.jpg"
        file.write_bytes(films[rows["member"][2]])
        again = tmp_path / f"{job}-again"
        assert search(output, "--like", file, "--model", model, "--k", 1, "--output", again) == 0
        (hit,) = pq.read_table(again / "hits.parquet").to_pylist()
        assert hit["image_id"] == like
        assert hit["cosine"] == pytest.approx(1, abs=1e-5)
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--like", "a:99999,0"], "--like a:99999,0: no patch of the dataset holds this point"),
        (["--like", "c:0,0"], "there is no slide 'c'"),
        (["--like", "nonsense"], "--like nonsense: is no file, and no place of a slide"),
        (
            ["--like", "x.png"],
            "--like x.png: a file needs --model, the model of the dataset (grid)",
        ),
        (["--like", "x.png", "--model", "MODEL"], "--like [Errno 2] No such file"),
        (["--like", "a:9,9", "--model", "MODEL"], "--model has no effect"),
        (["--like", "a:9,9", "--k", "0"], "--k must be between 1 and"),
        (["--like", "a:9,9", "--threads", "0"], "--threads must be between 1 and"),
    ],
)
def test_what_is_typed_wrong_is_one_line(slides, model, capsys, arguments, message):
    assert search(slides / "out", *(model if a == "MODEL" else a for a in arguments)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_another_model_is_refused(slides, tmp_path, capsys):
    class Other(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32)])
        def __call__(self, images):
            return tf.reshape(images[:, :4, :4], [-1, 48])

    tf.saved_model.save(Other(), str(tmp_path / "other"))
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "x.png")
    assert search(slides / "out", "--like", tmp_path / "x.png",
                  "--model", tmp_path / "other") == 2  # fmt: skip
    assert "is another model than that of the dataset, grid" in capsys.readouterr().err
