"""Patches and films as encoded images, from disk, through the command line, to disk."""

import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openslide
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import simplejpeg
import tensorflow as tf
from PIL import Image

from beamscope.pipelines.main import main
from beamscope.transforms.formats.tfrecord import load_parsing_spec
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.xrays.decoding.decode import decode_film
from beamscope.transforms.xrays.decoding.film import DecodeSettings
from beamscope.transforms.xrays.decoding.preprocess import Preprocess
from beamscope.transforms.xrays.sample import sample_jpeg, sample_members
from tests.shared_data import shared
from tests.sources.archive_makers import make_tar, make_zip


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Two slides, and a file that is none."""
    folder = tmp_path_factory.mktemp("slides")
    for name, seed in (("a", 1), ("b", 2)):
        spec = SampleSlide(width=1200, height=1000, mpp=0.5, seed=seed)
        write_sample_slide(folder / f"{name}.svs", spec)
    (folder / "broken.svs").write_text("<html>404 Not Found</html>")
    return folder


def patches(*arguments):
    return main(["patches", *map(str, arguments)])


def rows_of(output):
    return ds.dataset(str(output / "patches")).to_table().to_pylist()


def pixels_of(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def webdataset(output):
    """The samples of every tar, as the format's convention has them."""
    for path in sorted((output / "patches-tar").iterdir()):
        with tarfile.open(path) as tar:
            members = list(tar)
            for image, columns in zip(members[::2], members[1::2], strict=True):
                assert image.name.partition(".")[0] == columns.name.partition(".")[0]
                yield tar.extractfile(image).read(), json.load(tar.extractfile(columns))


def test_every_format_holds_the_patches_that_openslide_reads(slides, tmp_path, capsys):
    output = tmp_path / "out"
    assert patches("--input", slides / "a.svs", "--patch_size", 128, "--encoding", "png",
                   "--block_size", 8, "--num_shards", 1, "--output", output,
                   "--format", "parquet", "tfrecord", "webdataset") == 0  # fmt: skip
    rows = rows_of(output)
    said = capsys.readouterr().out
    assert f"patches   {len(rows)} planned = {len(rows)} written + 0 failed" in said
    slide = openslide.OpenSlide(str(slides / "a.svs"))
    for row in rows:
        place = row["x_level0"], row["y_level0"]
        expected = np.asarray(slide.read_region(place, 0, (128, 128)).convert("RGB"))
        np.testing.assert_array_equal(pixels_of(row["image"]), expected)
        assert (row["encoding"], row["passed_on"]) == ("png", False)

    spec = load_parsing_spec(json.loads((output / "parsing_spec.json").read_text()))
    paths = sorted(str(path) for path in (output / "patches-tfrecord").iterdir())
    dataset = tf.data.TFRecordDataset(paths).map(lambda e: tf.io.parse_single_example(e, spec))
    for example, row in zip(dataset, rows, strict=True):
        assert example["image"].numpy() == row["image"]
        np.testing.assert_array_equal(
            tf.io.decode_image(example["image"]).numpy(), pixels_of(row["image"])
        )
        assert example["slide_id"].numpy().decode() == row["slide_id"]
        assert int(example["x_level0"]) == row["x_level0"]

    for (image, columns), row in zip(webdataset(output), rows, strict=True):
        assert image == row.pop("image")
        assert {**columns, "mpp": None, "tissue": None} == {**row, "mpp": None, "tissue": None}

    description = json.loads((output / "dataset.json").read_text())
    assert (description["job"], description["model"]) == ("patches", None)
    assert description["shards"][0]["files"] == [
        "patches/patches-00000-of-00001.parquet",
        "patches-tfrecord/patches-00000-of-00001.tfrecord",
        "patches-tar/patches-00000-of-00001.tar",
    ]
    assert main(["verify", str(output)]) == 0
    assert main(["search", str(output), "--like", "a:1,1"]) == 2
    assert "has no embeddings; its columns are slide_id" in capsys.readouterr().err
    assert main(["status", str(output)]) == 0
    assert f"{len(rows)} of {len(rows)} patches (100.0%)" in capsys.readouterr().out


def test_a_sample_is_seeded_counted_and_part_of_a_larger_one(slides, tmp_path, capsys):
    def places(*more):
        output = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        assert patches("--input", slides, "--patch_size", 64, "--output", output,
                       "--max_failed", 0.5, *more) == 0  # fmt: skip
        rows = rows_of(output)
        table = pq.read_table(output / "slides.parquet").to_pylist()
        taken = {row["slide_id"]: row["patches_planned"] for row in table}
        counts = json.loads((output / "dataset.json").read_text())["counts"]
        return {(r["slide_id"], r["x_level0"], r["y_level0"]) for r in rows}, taken, counts

    everything, planned, _ = places()
    small, taken, counts = places("--sample", 10)
    assert taken == {"a": 10, "b": 10, "broken": 0}
    assert counts["patches_not_sampled"] == planned["a"] + planned["b"] - 20
    assert f"the sample leaves out {counts['patches_not_sampled']:,}" in capsys.readouterr().out
    large, _, _ = places("--sample", 25)
    other, _, _ = places("--sample", 10, "--seed", 1)
    assert small < large < everything
    assert other < everything
    assert other != small


def test_the_same_command_goes_on_after_a_loss(slides, tmp_path, capsys):
    output = tmp_path / "out"
    flags = ["--input", slides / "a.svs", "--patch_size", 128, "--block_size", 8, "--sample", 20,
             "--output", output]  # fmt: skip
    assert patches(*flags) == 0
    whole = rows_of(output)
    assert patches(*flags) == 0
    assert "complete before: nothing to do" in capsys.readouterr().out
    (output / "dataset.json").unlink()
    part = sorted(p for p in (output / ".beamscope").rglob("*.arrow") if "/parts/" in str(p))[1]
    part.unlink()
    assert patches(*flags, "--verbose") == 0
    assert "blocks embedded: 1 now, 2 before" in capsys.readouterr().out
    assert rows_of(output) == whole
    assert patches(*flags, "--quality", "50") == 2
    assert "quality was 95 and is now 50" in capsys.readouterr().err
    assert patches(*flags, "--quality", "50", "--overwrite") == 0
    assert sum(len(r["image"]) for r in rows_of(output)) < sum(len(r["image"]) for r in whole)


def test_real_tiles_are_passed_on_as_they_are_stored(tmp_path):
    path = shared("data/slides/CMU-1-Small-Region.svs")
    output = tmp_path / "out"
    assert patches("--input", path, "--mpp", 0.499, "--patch_size", 240, "--sample", 12,
                   "--output", output) == 0  # fmt: skip
    rows = rows_of(output)
    slide = openslide.OpenSlide(str(path))
    file = path.read_bytes()
    for row in rows:
        assert row["passed_on"]
        stream = row["image"]
        place = row["x_level0"], row["y_level0"]
        expected = np.asarray(slide.read_region(place, 0, (240, 240)).convert("RGB"))
        # Two decoders find the slide's own pixels.
        np.testing.assert_array_equal(pixels_of(stream), expected)
        np.testing.assert_array_equal(simplejpeg.decode_jpeg(stream, strict=True), expected)
        # The coded data, without the tables in front of it, are those of the file.
        assert stream[-500:] in file
    # One pixel beside the grid nothing is exactly a tile.
    assert patches("--input", path, "--mpp", 0.499, "--patch_size", 239, "--sample", 3,
                   "--output", tmp_path / "other") == 0  # fmt: skip
    assert not any(row["passed_on"] for row in rows_of(tmp_path / "other"))


def test_only_whole_tiles_that_decode_to_the_pixels_are_streams(slides):
    slide = NativeReader.open(str(slides / "a.svs"))
    assert not isinstance(slide, NotServed)
    side = 256
    read = ReadPlan(0, 1.0, side, side, 0.5, 0.5)
    x, y = np.array([0, side, side + 1, 1024, 512]), np.array([0, side, 0, 768, 0])
    pixels = np.empty((5, side, side, 3), np.uint8)
    with ThreadPoolExecutor(1) as threads:
        assert slide.read_patches(x, y, read, pixels, threads) == [None] * 5
    pixels[4] ^= 1  # as if another reader had read it
    streams = slide.tile_streams(x, y, read, pixels)
    # The third lies beside the grid, the fourth beyond the edge.
    assert [stream is not None for stream in streams] == [True, True, False, False, False]
    np.testing.assert_array_equal(pixels_of(streams[1]), pixels[1])


def test_films_are_written_as_a_model_would_see_them(tmp_path, capsys):
    films = dict(sample_members(6, seed=5)) | {"bad.jpg": b"<html>"}
    place = make_zip(tmp_path / "x.zip", films).uri
    output = tmp_path / "out"
    assert main(["films", "--input", place, "--size", "64", "--encoding", "png", "--output",
                 str(output), "--preprocess", "remedis", "--max_failed", "0.5"]) == 0  # fmt: skip
    rows = {row["member"]: row for row in rows_of(output)}
    assert set(rows) == set(films) - {"bad.jpg"}
    for name, row in rows.items():
        film = decode_film(films[name], DecodeSettings()).pixels
        expected = Preprocess(64, "remedis").apply(film, from_dicom=False)
        np.testing.assert_array_equal(pixels_of(row["image"]), expected)
    sampled = tmp_path / "sampled"
    assert main(["films", "--input", place, "--sample", "3", "--output", str(sampled),
                 "--max_failed", "1"]) in (0, 3)  # fmt: skip
    counts = json.loads((sampled / "dataset.json").read_text())["counts"]
    assert counts["left_out_not_sampled"] == 4
    assert sum(counts["images"].values()) == 3
    capsys.readouterr()
    stream = make_tar(tmp_path / "x.tgz", {"a.jpg": sample_jpeg(0)}, "w:gz").uri
    assert main(["films", "--input", stream, "--sample", "3", "--output", "o"]) == 2
    assert "x.tgz has no listing to sample from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sample", "0"], "--sample must be between 1 and"),
        (["--seed", "1"], "--seed needs --sample"),
        (["--quality", "101"], "--quality must be between 1 and 100, got 101"),
        (["--encoding", "png", "--quality", "9"], "--quality has no effect with --encoding png"),
        (["--patch_size", "0"], "--patch_size must be between 1 and"),
        (["--mpp", "20"], "did you mean --magnification 20x"),
        (["--model", "m"], "--model"),
        (["--format", "csv"], "invalid choice: 'csv'"),
    ],
)
def test_what_is_typed_wrong_is_one_line(slides, tmp_path, capsys, arguments, message):
    output = tmp_path / "out"
    assert patches("--input", slides / "a.svs", "--output", output, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not output.exists()


def test_webdataset_is_no_format_of_embeddings(slides, tmp_path, capsys):
    assert main(["slides", "--input", str(slides / "a.svs"), "--model", "m", "--output",
                 str(tmp_path / "out"), "--format", "webdataset"]) == 2  # fmt: skip
    assert "invalid choice: 'webdataset'" in capsys.readouterr().err


def test_a_plan_is_for_a_model(slides, capsys):
    assert main(["plan", "patches", "--input", str(slides / "a.svs"), "--output", "o"]) == 2
    assert "patches: runs no model" in capsys.readouterr().err
