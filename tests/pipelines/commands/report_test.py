"""`beamscope report` from real jobs to a page, and the page in a browser."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from beamscope.pipelines.jobs.registry import JOBS
from beamscope.pipelines.main import main
from beamscope.transforms.fingerprints import restored
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.xrays.reading.film_block import FilmSettings
from beamscope.transforms.xrays.sample import write_sample_archive
from tests.browser import page_after
from tests.dataset.samples import write_slides
from tests.gcs import gcs_emulator
from tests.s3 import s3_server


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    class Cells(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 64, 64, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(tf.reshape(images, [-1, 8, 8, 8, 8, 3]), axis=[2, 4, 5])

    path = tmp_path_factory.mktemp("model") / "cells"
    tf.saved_model.save(Cells(), str(path))
    return path


@pytest.fixture(scope="module")
def slides_output(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    for name, seed in (("a", 1), ("b", 2)):
        spec = SampleSlide(width=1600, height=1200, mpp=0.5, seed=seed)
        write_sample_slide(folder / f"{name}.svs", spec)
    (folder / "broken.svs").write_text("<html>404 Not Found</html>")
    output = folder / "out"
    assert main(["slides", "--input", str(folder / "*.svs"), "--model", str(model), "--output",
                 str(output), "--pooling", "none", "--max_failed", "1"]) == 0  # fmt: skip
    return output


def pictures_in(page):
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))
            for text in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]  # fmt: skip


def test_slides(slides_output, capsys):
    assert main(["report", str(slides_output)]) == 0
    assert f"{slides_output}/report.html: " in capsys.readouterr().out
    page = (slides_output / "report.html").read_text()
    # A picture and a map of each good slide.
    pictures = pictures_in(page)
    assert len(pictures) == 4
    assert pictures[0].shape[1] == pictures[1].shape[1]
    # The work files may be gone: the map then has a ground of its own.
    shutil.copytree(slides_output, slides_output.parent / "copy")
    shutil.rmtree(slides_output.parent / "copy" / ".beamscope")
    assert main(["report", str(slides_output.parent / "copy")]) == 0
    assert len(pictures_in((slides_output.parent / "copy" / "report.html").read_text())) == 4


def test_the_page_sorts_and_filters(slides_output, tmp_path):
    """A script that is added to a copy of the page uses it as a person does."""
    assert main(["report", str(slides_output), "--file", str(tmp_path / "r.html")]) == 0
    use = """<script>
      const seen = {};
      const ids = () => [...document.querySelectorAll('#items tbody tr')].map(
        row => row.cells[0].textContent);
      const button = name => [...document.querySelectorAll('#items th button')].find(
        one => one.textContent.startsWith(name));
      const type = (id, value, event) => {
        const field = document.getElementById(id);
        field.value = value;
        field.dispatchEvent(new Event(event));
      };
      seen.first = ids();
      button('slide id').click(); button('slide id').click();
      seen.down = ids();
      button('patches embedded').click();
      seen.byPatches = [...document.querySelectorAll('#items tbody tr')].map(row => row.cells[
        [...document.querySelectorAll('#items th')].findIndex(
          one => one.textContent.startsWith('patches embedded'))].textContent);
      type('items-filter', 'NOT_A_SLIDE', 'input');
      seen.filtered = ids();
      seen.count = document.getElementById('items-count').textContent;
      type('items-filter', '', 'input');
      type('items-status', 'done', 'change');
      seen.done = ids();
      type('problems-filter', 'no such word', 'input');
      seen.problems = document.querySelectorAll('#problems tbody tr').length;
      const pixels = document.getElementById('scatter').getContext('2d')
        .getImageData(0, 0, 900, 560).data;
      seen.drawn = pixels.filter((value, index) => index % 4 === 3 && value > 0).length;
      seen.choices = [...document.getElementById('color-by').options].map(one => one.value);
      document.body.append(Object.assign(document.createElement('pre'),
        {id: 'seen', textContent: JSON.stringify(seen)}));
    </script>"""
    page = (tmp_path / "r.html").read_text().replace("</body>", f"{use}</body>")
    (tmp_path / "used.html").write_text(page)
    became = page_after(f"file://{tmp_path}/used.html", tmp_path)
    found = re.search('<pre id="seen">(.*?)</pre>', became, re.S)
    assert found, became[-2000:]
    seen = json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert seen["first"] == ["a", "b", "broken"]
    assert seen["down"] == ["broken", "b", "a"]
    numbers = [int(text.replace(",", "")) for text in seen["byPatches"]]
    assert numbers == sorted(numbers)
    assert numbers[0] == 0
    assert seen["filtered"] == ["broken"]
    assert seen["count"] == "1 of 3"
    assert sorted(seen["done"]) == ["a", "b"]
    assert seen["problems"] == 0
    assert seen["drawn"] > 100
    assert "slide_id" in seen["choices"]


def test_films_are_shown_as_the_model_saw_them(model, tmp_path):
    write_sample_archive(tmp_path / "a.zip", "zip", 12)
    write_sample_archive(tmp_path / "b.tgz", "tgz", 6)
    output = tmp_path / "out"
    assert main(["xrays", "--input", str(tmp_path / "a.zip"), str(tmp_path / "b.tgz"), "--model",
                 str(model), "--output", str(output), "--pooling", "none", "--preprocess", "pad",
                 "--equalize", "always"]) == 0  # fmt: skip
    assert main(["report", str(output)]) == 0
    page = (output / "report.html").read_text()
    pictures = pictures_in(page)
    assert len(pictures) == 12
    assert page.count("a tar.gz would have to be read from its start") == 6
    assert "<dt>equalised</dt><dd>yes</dd>" in page
    assert "<dt>fitted by</dt><dd>pad</dd>" in page
    # The model's answer, the mean of each cell of 8 x 8 pixels, tells which pixels it was given.
    import pandas as pd

    rows = pd.read_parquet(output / "embeddings")
    rows = rows[rows["image_id"].str.startswith("a.zip")]
    for picture, embedding in zip(pictures, rows["embedding"], strict=True):
        cells = picture.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3, 4)).reshape(-1) / 255
        # JPEG changes single pixels, not the means of cells.
        assert np.abs(cells - np.asarray(embedding)).max() < 0.03


@pytest.mark.server
@pytest.mark.parametrize("server", [gcs_emulator, s3_server])
def test_a_report_in_a_bucket(server, tmp_path):
    with server(tmp_path) as bucket:
        write_slides(f"{bucket}/out", {"a": 30, "b": 0})
        assert main(["report", f"{bucket}/out"]) == 0
        assert main(["report", f"{bucket}/out", "--file", str(tmp_path / "here.html")]) == 0
    assert "30</b>embeddings" in (tmp_path / "here.html").read_text()


def test_report_errors(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no finished dataset" in capsys.readouterr().err
    write_slides(tmp_path, {"a": 30})
    assert main(["report", str(tmp_path), "--label", "tumor"]) == 2
    assert "--label tumor: there is no such column; there are" in capsys.readouterr().err
    assert main(["report", str(tmp_path), "--pictures", "-1"]) == 2


def test_settings_are_restored_from_the_options_of_a_dataset():
    options = {"size": 64, "preprocess": "pad", "equalize": "never", "window": "minmax",
               "keep_tags": ["Rows"], "max_pixels": 9, "max_member_bytes": 8,
               "max_compression_ratio": 7.0, "views": ["PA"], "other": 1}  # fmt: skip
    settings = restored(FilmSettings, options)
    assert settings.preprocess.kind == "pad"
    assert settings.decode.window == "minmax"
    assert settings.decode.keep_tags == ("Rows",)
    assert settings.decode.limits.max_pixels == 9
    assert settings.views == frozenset({"PA"})
    with pytest.raises(KeyError, match="size"):
        restored(FilmSettings, {})
    reading = JOBS.get("xrays").reading_again(options)
    assert reading is not None
    assert reading.sizes == [64]
