"""A sample in total that is drawn asks a store for none of its plans again."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.storage import files
from beamscope.transforms.xrays.sample import sample_members
from benchmarks.requests import traffic_of
from tests.gcs import gcs_emulator
from tests.sources.archive_makers import make_zip

ITEMS = 4
# Plans of the sample, whole plans, pictures and blocks.
OF_ITEMS = ("plans", "parts", "whole")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gcs")
    with gcs_emulator(folder) as bucket:
        write_sample_slide(folder / "a.svs", SampleSlide(800, 800, mpp=0.5, coverage=1, levels=1))
        for number in range(ITEMS):
            copy(folder / "a.svs", f"{bucket}/slides/{number}.svs")
            make_zip(folder / "a.zip", dict(sample_members(3, seed=number)))
            copy(folder / "a.zip", f"{bucket}/films/{number}.zip")
            for name, content in sample_members(2, seed=10 + number):
                files.write_bytes(f"{bucket}/films/folder{number}/{name}", content)
        yield bucket


def copy(path, uri):
    files.write_bytes(uri, path.read_bytes())


def of_items(traffic):
    return [
        (kind, name) for kind, name in traffic.asked
        # The listing of all is one request.
        if any(f"/{what}/" in name for what in OF_ITEMS) and name.rpartition("/")[2]
        and "/index/" not in name
    ]  # fmt: skip


def rows_of(root):
    found = [file for file in files.list_files(root) if "/patches/" in file.path]
    tables = [pq.read_table(pa.BufferReader(files.read_bytes(file.path))) for file in found]
    return [row for table in tables for row in table.to_pylist()]


def of(output, command, *inputs):
    return [*command, "--input", *inputs, "--sample_total=11", "--output", output]


def is_drawn_once(job, root):
    first = traffic_of(job)
    assert len(of_items(first)) > 20
    assert len(rows_of(root)) == 11
    files.delete([f"{root}/dataset.json"])
    assert of_items(traffic_of([*job, "--only", "embed"])) == []


def test_slides_of_which_one_changes_later(bucket, tmp_path):
    command = ["patches", "--patch_size=64", "--block_size=4"]
    root, inputs = f"{bucket}/out-patches", f"{bucket}/slides/*.svs"
    is_drawn_once(of(root, command, inputs), root)
    before = rows_of(root)
    write_sample_slide(tmp_path / "b.svs", SampleSlide(1200, 800, mpp=0.5, coverage=1, seed=2))
    copy(tmp_path / "b.svs", f"{bucket}/slides/1.svs")
    traffic_of(of(root, command, inputs))
    traffic_of(of(str(tmp_path / "fresh"), command, inputs))
    assert rows_of(root) == rows_of(str(tmp_path / "fresh")) != before


def test_films_of_archives_and_folders_of_which_one_is_added_later(bucket, tmp_path):
    command = ["films", "--size=32", "--block_size=2"]
    root, added = f"{bucket}/out-films", f"{bucket}/films/3.zip"
    inputs = [f"{bucket}/films/[012].zip"]
    inputs += [f"{bucket}/films/folder{number}/" for number in range(ITEMS)]
    is_drawn_once(of(root, command, *inputs), root)
    before = rows_of(root)
    traffic_of([*of(root, command, added), "--add"])
    traffic_of(of(str(tmp_path / "fresh"), command, *inputs, added))
    assert rows_of(root) == rows_of(str(tmp_path / "fresh")) != before
