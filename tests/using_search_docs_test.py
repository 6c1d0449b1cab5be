"""Run the commands and programs of docs/using.md on searching and on fine-tuning sets."""

import json
import re
import shlex
import tarfile
from pathlib import Path

import numpy as np
import openslide
import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.main import main
from tests.shared_data import shared

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "using.md").read_text()
SLIDES = ("CMU-1-Small-Region.svs", "tcga_generic_pyramid_mpp0.5.tiff")


def blocks(heading):
    """The language and the text of the blocks of a section, in order."""
    text = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```(sh|python)\n(.*?)```", text, re.S)


def run(heading, names):
    """Run every block of a section in the current folder; return what its programs have defined."""
    for language, text in blocks(heading):
        if language == "python":
            exec(compile(text, heading, "exec"), names)
            continue
        for line in text.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(line)
            assert program == "beamscope"
            assert main(arguments) == 0
    return names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "SLIDE_FILES").mkdir()
    for name in SLIDES:
        (tmp_path / "SLIDE_FILES" / name).symlink_to(shared(f"data/slides/{name}"))
    (tmp_path / "MODEL").symlink_to(shared("models/squeezenet11-imagenet"))
    with openslide.OpenSlide(str(tmp_path / "SLIDE_FILES" / SLIDES[0])) as slide:
        slide.read_region((896, 1344), 0, (224, 224)).convert("RGB").save(tmp_path / "CROP.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_find_more_of_this(folder):
    found = run("Find more of this", {})
    hits = pq.read_table(folder / "HITS" / "hits.parquet").to_pandas()
    by_duckdb = found["hits"]
    # DuckDB finds the patch itself first, and leaves out those of little tissue.
    assert by_duckdb["cosine"][0] == pytest.approx(1, abs=1e-5)
    same = hits[hits["tissue"] > 0.5].head(12)
    places = ["slide_id", "x_level0", "y_level0"]
    expected = by_duckdb[1 : len(same) + 1]
    assert same[places].to_numpy().tolist() == expected[places].to_numpy().tolist()
    np.testing.assert_allclose(same["cosine"], expected["cosine"], atol=1e-5)
    # The crop is a patch of that slide.
    (first,) = pq.read_table(folder / "HITS_OF_CROP" / "hits.parquet").slice(0, 1).to_pylist()
    assert (first["slide_id"], first["x_level0"], first["y_level0"]) == (
        "CMU-1-Small-Region", 896, 1344,
    )  # fmt: skip
    assert first["cosine"] > 0.9999
    for name in ("HITS", "HITS_OF_CROP"):
        assert (folder / name / "hits.html").read_text().count("<img") == 13


def test_prepare_a_fine_tuning_set(folder):
    found = run("Prepare a fine-tuning set", {})
    assert found["images"].shape == (16, 224, 224, 3)
    assert 0 <= float(found["images"].numpy().min()) < float(found["images"].numpy().max()) <= 1
    total = 0
    for images, ids in found["batches"]:
        total += len(images)
        assert {one.decode() for one in ids.numpy()} <= {name.rpartition(".")[0] for name in SLIDES}
    assert total == 80
    (shard,) = (folder / "TRAIN" / "patches-tar").iterdir()
    with tarfile.open(shard) as tar:
        assert sum(member.name.endswith(".jpg") for member in tar) == 80
    description = json.loads((folder / "TRAIN" / "dataset.json").read_text())
    assert description["counts"]["rows"] == 80
