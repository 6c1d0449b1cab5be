"""Whole jobs over slides that end the process, or that claim what they have not: each costs itself.

A reader that does what a slide's name says, and the slides and archives that once stopped a job.
"""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from tests.faults.hostile_reader import ENTRY_POINTS, PATCH, PLACE
from tests.faults.job_test import left_over, start
from tests.shared_data import shared
from tests.slides.readers.third_reader_test import write_strips

COLUMNS, ROWS = 5, 4


def run(root, *flags):
    arguments = ["slides", "--output", str(root / "out"), *flags]
    process = start(root, arguments=arguments, entry_points=ENTRY_POINTS)
    try:
        said, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    return process.returncode, said


def rows(output, name):
    return pq.read_table(output / f"{name}.parquet").to_pylist()


def places(output, slide):
    table = pq.read_table(output / "embeddings").to_pylist()
    return [(row["x_level0"], row["y_level0"]) for row in table if row["slide_id"] == slide]


@pytest.fixture
def strips(tmp_path):
    """A folder of slides that only the reader of these tests reads."""
    (tmp_path / "in").mkdir()
    image = np.random.default_rng(1).integers(0, 255, (ROWS * PATCH, COLUMNS * PATCH, 3), np.uint8)
    for name in ("abort", "good", "good too", "hang", "kill"):
        write_strips(tmp_path / "in" / f"{name}.tif", [image])
    (tmp_path / "model.brightness").write_text("a model")
    return tmp_path


@pytest.mark.slow
def test_a_reader_that_ends_its_process_costs_its_block(strips):
    status, said = run(
        strips, "--input", str(strips / "in"), "--model", str(strips / "model.brightness"),
        "--compile", "none", "--tissue", "none", "--patch_size", str(PATCH), "--fit", "resize",
        "--block_size", "1", "--item_timeout", "4", "--max_failed", "0",
    )  # fmt: skip
    assert status == 0, said
    every = {(PATCH * x, PATCH * y) for y in range(ROWS) for x in range(COLUMNS)}
    for slide in ("good", "good too"):
        assert sorted(places(strips / "out", slide)) == sorted(every)
    for slide in ("abort", "hang", "kill"):
        assert sorted(places(strips / "out", slide)) == sorted(every - {PLACE})
    lost = [
        (row["item_id"], row["kind"], row["x_level0"], row["y_level0"])
        for row in rows(strips / "out", "problems")
    ]
    assert sorted(lost) == [(slide, "crashes", *PLACE) for slide in ("abort", "hang", "kill")]
    assert left_over(strips) == []


SQUEEZENET = "models/squeezenet11-imagenet"


@pytest.mark.slow
def test_slides_that_stopped_a_job_cost_themselves(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "z"):
        slide = SampleSlide(1024, 1024, levels=1, mpp=0.5)
        write_sample_slide(tmp_path / "in" / f"{name}.svs", slide)
    hostile = sorted(shared("cases/hostile").glob("*.svs"))
    assert len(hostile) == 2
    for path in hostile:
        shutil.copy(path, tmp_path / "in")
    out = tmp_path / "out"
    status = main([
        "slides", "--input", str(tmp_path / "in"), "--model", str(shared(SQUEEZENET)),
        "--output", str(out), "--compile", "none", "--tissue", "none", "--max_failed", "0.5",
    ])  # fmt: skip
    assert status == 0
    table = {row["slide_id"]: row["status"] for row in rows(out, "slides")}
    assert table == {"a": "done", "z": "done", "bigcount": "failed", "huge_bigtile": "failed"}
    assert len(places(out, "a")) == len(places(out, "z")) == 16
    found = {row["item_id"]: row["kind"] for row in rows(out, "problems")}
    assert set(found) == {"bigcount", "huge_bigtile"}
    assert set(found.values()) <= {"impossible_header", "slide_too_large"}


@pytest.mark.slow
def test_archives_that_stopped_a_job_cost_themselves(tmp_path):
    (tmp_path / "in").mkdir()
    films = sorted(shared("data/xrays/kermany").rglob("*.jp*g"))[:2]
    for film in films:
        shutil.copy(film, tmp_path / "in")
    hostile = [path for path in shared("cases/hostile").iterdir() if path.suffix != ".svs"]
    for path in hostile:
        shutil.copy(path, tmp_path / "in")
    out = tmp_path / "out"
    status = main([
        "xrays", "--input", str(tmp_path / "in"), "--model", str(shared(SQUEEZENET)),
        "--output", str(out), "--compile", "none", "--max_failed", "1",
    ])  # fmt: skip
    assert status == 0
    done = {row["image_id"] for row in rows(out, "images") if row["status"] == "done"}
    assert {f"in/{film.name}" for film in films} <= done
    # Every hostile file is named, and no problem is of a good film.
    named = {row["uri"].rsplit("/", 1)[-1] for row in rows(out, "problems")} | {
        (row["member"] or "").rsplit("/", 1)[-1] for row in rows(out, "problems")
    }
    assert {path.name for path in hostile} <= named
    assert not {film.name for film in films} & named
