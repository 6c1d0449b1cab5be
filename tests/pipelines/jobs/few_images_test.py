"""A job of few images calls a model plainly that would take longer to compile."""

import json
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from beamscope.pipelines.jobs import few_images
from beamscope.pipelines.jobs.images import JOB
from beamscope.pipelines.main import main
from beamscope.pipelines.runners.config import config_options
from beamscope.transforms.inference.backends.base import SECONDS_PER_BYTE
from beamscope.transforms.inference.backends.saved_model.compilers import OpenVino
from beamscope.transforms.inference.few_images import seconds_saved
from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.sources.sources import Source, find_sources
from tests.inference import models
from tests.inference.kept import keep_models
from tests.sources.archive_makers import make_tar, make_zip


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model that takes long to compile, on a machine that keeps what it compiles."""
    keep_models(tmp_path, monkeypatch)
    monkeypatch.setattr(OpenVino, "seconds_per_byte", 1.0)
    return models.save(tmp_path / "m", models.feature_map)


def test_the_plain_call_of_few_images(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = models.noise(3)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number}.png")

    def embed(output: str) -> tuple[set[str], str]:
        flags = ["--input", str(tmp_path / "*.png"), "--model", model]
        assert main(["images", *flags, "--output", str(tmp_path / output)]) == 0
        table = ds.dataset(str(tmp_path / output / "embeddings")).to_table()
        found = np.stack(table["embedding"].to_numpy())
        np.testing.assert_allclose(found, models.expected(pixels), atol=1e-4)
        said = json.loads((tmp_path / output / "dataset.json").read_text())
        assert said["model"]["compile"] == "auto"
        ways = {name for name in said["counters"] if name.startswith("blocks_by_")}
        return ways, said["fingerprint"]

    few = embed("few")
    printed = capsys.readouterr().out
    assert "model m: 3 images are called plainly, since compiling takes about" in printed
    assert "model     float32, by the plain call" in printed
    assert not list((tmp_path / "cache").glob("compiled/*/entry.json"))
    with monkeypatch.context() as patch:
        patch.setattr(few_images, "FEW_IMAGES", 2)
        many = embed("many")
    # What is compiled now serves few images as well.
    again = embed("again")
    assert "plainly" not in capsys.readouterr().out
    assert (few[0], many[0], again[0]) == (
        {"blocks_by_none"}, {"blocks_by_openvino"}, {"blocks_by_openvino"},
    )  # fmt: skip
    # So blocks of both kinds may lie in one output.
    assert few[1] == many[1]


@pytest.mark.parametrize(
    ("images", "options", "saves"),
    [
        (16, {}, True),
        (17, {}, False),
        (1, {"compile": "openvino"}, False),
        (1, {"compile": "none"}, False),
        (1, {"precision": "bfloat16"}, False),
    ],
)
def test_what_saves_time(model: str, images: int, options: dict[str, str], saves: bool) -> None:
    found = find_model(ModelSettings(model, **options))  # type: ignore[arg-type]
    assert (seconds_saved(found, images) is not None) is saves


def test_a_small_model_is_compiled(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVino, "seconds_per_byte", SECONDS_PER_BYTE)
    assert seconds_saved(find_model(ModelSettings(model)), 1) is None


def test_images_are_counted_once_for_all_models(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []

    def count(self: object, requests: list[str], most: int) -> int:
        counted.append(requests)
        return len(requests)

    monkeypatch.setattr(type(JOB), "count_images", count)
    options = PipelineOptions(config_options("direct"))
    few = few_images.FewImages(JOB, ["a.png", "b.png"], options)
    other = models.save(tmp_path / "other", models.feature_map)
    assert few.call_plainly(ModelSettings(model))
    assert few.call_plainly(ModelSettings(other))
    assert counted == [["a.png", "b.png"]]


def test_images_are_counted_where_that_is_known(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    for name in ("a.png", "below/b.JPG", "notes.txt"):
        (folder / name).write_bytes(b"x")
    loose = [tmp_path / name for name in ("c.png", "d.tif")]
    for path in loose:
        path.write_bytes(b"x")
    files = {"e.png": b"x", "f/g.jpg": b"x", "table.csv": b"x"}
    archive, tar = make_zip(tmp_path / "x.zip", files), make_tar(tmp_path / "x.tar", files)
    sources = find_sources(map(str, [folder, *loose, archive.uri]))
    assert JOB.count_images(sources, 6) == 6
    assert JOB.count_images(sources, 5) is None
    assert JOB.count_images([tar], 9) is None
    assert JOB.count_images([Source("x", "gs://bucket/x.zip", "zip")], 9) is None
