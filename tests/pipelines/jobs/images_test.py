"""The job of images from disk, through the command line, to disk."""

import csv
import io
import json

import numpy as np
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from beamscope.pipelines.main import main
from beamscope.pipelines.templates.flex_template import metadata
from beamscope.transforms.images.settings import ROW_SCHEMA, TABLE_SCHEMA
from beamscope.transforms.output.run_record import read_run_record
from beamscope.transforms.sources.outcome import PROBLEMS_SCHEMA
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.shared_data import shared
from tests.sources.archive_makers import make_tar, make_zip
from tests.xrays.models import CELLS, SIDE, save_grid_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_grid_model(tmp_path_factory.mktemp("model") / "grid")


def encoded(values, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def pixels(seed, height=SIDE, width=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


IMAGES = {
    f"{label}/{i}.{kind}": encoded(pixels(i), "TIFF" if kind == "tif" else "PNG")
    for i, (label, kind) in enumerate([("x", "png"), ("x", "tif"), ("y", "png"), ("y", "png"),
                                       ("z", "tif")])
}  # fmt: skip


def grid(image):
    """What the model answers for an image of its size, computed without it."""
    step = SIDE // CELLS
    cells = (image / 255).reshape(CELLS, step, CELLS, step, 3)
    return cells.mean(axis=(1, 3, 4)).reshape(-1)


def embed(model, output, *arguments):
    return main(["images", "--model", str(model), "--output", str(output), "--compile", "none",
                 *map(str, arguments)])  # fmt: skip


def read_rows(output):
    return ds.dataset(str(output / "embeddings")).to_table()


def counts(output):
    return json.loads((output / "dataset.json").read_text())["counts"]


def folder_of(tmp_path, images):
    folder = tmp_path / "patches"
    for name, data in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_the_real_patches_are_what_tensorflow_makes_of_pillows_pixels(tmp_path, capsys):
    folder = shared("data/patches/lc25000_lung")
    squeezenet = shared("models/squeezenet11-imagenet")
    output = tmp_path / "out"
    assert main(["images", "--input", str(folder), "--model", str(squeezenet),
                 "--output", str(output), "--labels", str(folder / "labels.csv")]) == 0  # fmt: skip
    rows = read_rows(output)
    with (folder / "labels.csv").open() as file:
        expected = {row["file"]: row for row in csv.DictReader(file)}
    assert rows.num_rows == len(expected) == 846
    for row in rows.drop_columns("embedding").to_pylist():
        known = expected[row["member"]]
        assert row["label"] == known["label"]
        assert dict(row["catalog"]) == {"source_tile_cluster": known["source_tile_cluster"]}
    assert "labels    lung_aca 286, lung_n 282, lung_scc 278" in capsys.readouterr().out
    call = tf.saved_model.load(str(squeezenet))
    some = rows.slice(0).take(list(range(0, 846, 14)))
    images = [np.asarray(Image.open(folder / name)) for name in some["member"].to_pylist()]
    answers = call(tf.constant(np.stack(images) / np.float32(255))).numpy()
    found = np.stack(some["embedding"].to_numpy())
    cosine = (
        (found * answers).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(answers, axis=1)
    )
    assert cosine.min() >= 0.9999


def test_the_dataset_says_everything(model, tmp_path, capsys):
    large = pixels(9, 2 * SIDE, 4 * SIDE)
    turned = Image.Exif()
    turned[0x0112] = 6
    others = {
        "x/large.png": encoded(large),
        "w/turned.png": encoded(pixels(8), exif=turned),
        "w/broken.png": encoded(pixels(7))[:-200],
        "w/page.jpg": b"<html>",
        "notes.txt": b"",
        "root.png": encoded(pixels(6)),
    }
    folder = folder_of(tmp_path, IMAGES | others)
    output = tmp_path / "out"
    assert embed(model, output, "--input", folder, "--max_failed", "0.5") == 0
    rows = read_rows(output)
    assert rows.schema.names == [*ROW_SCHEMA.names, "embedding"]
    found = {row["member"]: row for row in rows.to_pylist()}
    assert set(found) == (set(IMAGES) | set(others)) - {"w/broken.png", "w/page.jpg", "notes.txt"}
    for name in IMAGES:
        np.testing.assert_allclose(
            found[name]["embedding"], grid(pixels(int(name[2]))), rtol=0, atol=1e-6
        )
        assert found[name]["label"] == name[0]
    shrunk = tf.image.resize(large, (SIDE, SIDE), method="area").numpy()
    np.testing.assert_allclose(found["x/large.png"]["embedding"], grid(shrunk), rtol=0, atol=2e-3)
    upright = np.rot90(pixels(8), -1)
    np.testing.assert_allclose(found["w/turned.png"]["embedding"], grid(upright), atol=1e-6)
    assert (found["root.png"]["label"], found["root.png"]["in_labels"]) == (None, False)
    large_row = found["x/large.png"]
    assert (large_row["width"], large_row["height"], large_row["origin"]) == (128, 64, "png")

    images = pq.read_table(output / "images.parquet")
    assert images.schema.equals(TABLE_SCHEMA)
    failed = {
        row["member"]: (row["reason"].partition(":")[0], row["label"])
        for row in images.to_pylist()
        if row["status"] == "failed"
    }
    assert failed == {
        "w/broken.png": ("truncated_image", "w"),
        "w/page.jpg": ("not_an_image", "w"),
    }
    assert pq.read_schema(output / "problems.parquet").equals(PROBLEMS_SCHEMA)
    assert counts(output) == {
        "rows": 8,
        "images": {"done": 8, "failed": 2},
        "labelled": 9,
        "not_labelled": 1,
        "left_out_not_an_image": 1,
        "problems": {"not_an_image": 1, "truncated_image": 1},
    }
    printed = capsys.readouterr().out
    assert "labels    w 3, x 3, y 2, z 1; 1 images have none" in printed
    assert main(["status", str(output)]) == 0
    assert "10 of 10 images (100.0%)" in capsys.readouterr().out


def test_every_place_gives_the_same_rows(model, tmp_path):
    folder = folder_of(tmp_path, IMAGES)
    places = [
        [folder],
        [folder / "*" / "*"],
        [make_zip(tmp_path / "a.zip", IMAGES).uri],
        [make_tar(tmp_path / "b.tar", IMAGES).uri],
        [make_tar(tmp_path / "c.tgz", IMAGES, "w:gz").uri],
    ]
    tables = []
    for number, place in enumerate(places):
        output = tmp_path / f"out{number}"
        assert embed(model, output, "--input", *place, "--block_size", 2) == 0
        rows = read_rows(output).sort_by("member")
        tables.append(rows.select(["member", "label", "width", "origin", "embedding"]))
    assert all(table.equals(tables[0]) for table in tables)
    assert tables[0]["label"].to_pylist() == ["x", "x", "y", "y", "z"]


def test_crop_takes_the_middle_and_refuses_what_is_smaller(model, tmp_path):
    large = pixels(9, SIDE + 5, SIDE + 8)
    images = {"a/1.png": encoded(large), "a/2.png": encoded(pixels(1, 20, 90))}
    output = tmp_path / "out"
    place = make_zip(tmp_path / "a.zip", images).uri
    assert embed(model, output, "--input", place, "--fit", "crop", "--max_failed", 1) == 0
    (row,) = read_rows(output).to_pylist()
    middle = large[2 : 2 + SIDE, 4 : 4 + SIDE]
    np.testing.assert_allclose(row["embedding"], grid(middle), rtol=0, atol=1e-6)
    (problem,) = pq.read_table(output / "problems.parquet").to_pylist()
    assert (problem["member"], problem["kind"]) == ("a/2.png", "too_small")
    assert problem["message"] == "32 px cannot be cropped from 90 x 20 px"


def test_labels_join_and_both_sides_are_counted(model, tmp_path, capsys):
    place = make_zip(tmp_path / "a.zip", IMAGES).uri
    labels = tmp_path / "labels.csv"
    labels.write_text("name,class,patient\nx/0.png,good,p1\nx/1,bad,p2\n9.png,bad,p3\n")
    output = tmp_path / "out"
    flags = ["--input", place, "--labels", labels, "--label_column", "class"]
    assert embed(model, output, *flags) == 0
    rows = read_rows(output).to_pylist()
    assert [(row["label"], row["in_labels"]) for row in rows] == [
        ("good", True), ("bad", True), (None, False), (None, False), (None, False),
    ]  # fmt: skip
    assert dict(rows[0]["catalog"]) == {"patient": "p1"}
    images = pq.read_table(output / "images.parquet")
    assert images["patient"].to_pylist() == ["p1", "p2", None, None, None]
    total = counts(output)
    assert (total["in_labels"], total["not_in_labels"]) == (2, 3)
    assert (total["label_rows"], total["label_rows_without_image"]) == (3, 1)
    assert "1 rows of --labels have no image" in capsys.readouterr().out
    # Other labels are other settings.
    labels.write_text("name,class\nnone.png,good\n")
    assert embed(model, output, *flags) == 2
    assert "labels was" in capsys.readouterr().err
    assert embed(model, output, *flags, "--overwrite") == 0
    assert "none of 5 images is in --labels: keys are like 'none.png'" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_the_same_command_goes_on_after_a_loss(model, tmp_path, capsys, kind):
    path = tmp_path / f"a.{kind}"
    (make_zip(path, IMAGES) if kind == "zip" else make_tar(path, IMAGES, "w:gz"))
    output = tmp_path / "out"
    flags = ["--input", path, "--block_size", 2, "--verbose"]
    assert embed(model, output, *flags) == 0
    whole = read_rows(output)
    assert embed(model, output, *flags) == 0
    assert "complete before: nothing to do" in capsys.readouterr().out
    (output / "dataset.json").unlink()
    record = read_run_record(str(output))
    assert record is not None
    parts = sorted((output / ".beamscope").rglob("*.arrow"))
    lost = [part for part in parts if "/parts/" in str(part)][1]
    lost.unlink()
    assert embed(model, output, *flags) == 0
    assert "blocks embedded: 1 now, 2 before" in capsys.readouterr().out
    assert read_rows(output).equals(whole)


def test_a_new_image_costs_one_block(model, tmp_path, capsys):
    folder = folder_of(tmp_path, IMAGES)
    output = tmp_path / "out"
    assert embed(model, output, "--input", folder, "--block_size", 2) == 0
    (folder / "a").mkdir()
    (folder / "a" / "new.png").write_bytes(encoded(pixels(1)))
    capsys.readouterr()
    assert embed(model, output, "--input", folder, "--block_size", 2, "--verbose") == 0
    assert read_rows(output).num_rows == 6
    assert "blocks embedded: 1 now, 3 before" in capsys.readouterr().out


def test_everything_may_be_in_a_bucket(model, tmp_path):
    with gcs_emulator(tmp_path) as bucket:
        for name, data in IMAGES.items():
            files.write_bytes(f"{bucket}/in/{name}", data)
        files.write_bytes(f"{bucket}/labels.csv", b"file,label\nx/0.png,good\n")
        output = f"{bucket}/out"
        assert embed(model, output, "--input", f"{bucket}/in/",
                     "--labels", f"{bucket}/labels.csv") == 0  # fmt: skip
        found = tmp_path / "images.parquet"
        found.write_bytes(files.read_bytes(f"{output}/images.parquet"))
    assert pq.read_table(found)["label"].to_pylist() == ["good", None, None, None, None]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "nowhere/*.zip"], "--input nowhere/*.zip: matches no image and no archive"),
        (["--input", "TEXTS"], "TEXTS holds no image: 1 file, 1 no image by its name"),
        (["--input", "ZIP", "--labels_key", "a"], "--labels_key needs --labels"),
        (["--input", "ZIP", "--label_column", "a"], "--label_column needs --labels"),
        (["--input", "ZIP", "--labels", "none.csv"], "--labels none.csv"),
        (["--input", "ZIP", "--labels", "CSV", "--labels_key", "x"], "has no column 'x'"),
        (["--input", "ZIP", "--labels", "WIDTH"], "images.parquet has a column 'width' of its own"),
        (["--input", "ZIP", "--block_size", "0"], "--block_size must be between 1 and 65536"),
        (["--input", "ZIP", "--fit", "pad"], "argument --fit: invalid choice: 'pad'"),
        (["--input", "ZIP", "--max_pixels", "0"], "--max_pixels must be between 1 and"),
        (["--input", "ZIP", "--mpp", "0.5"], "--mpp"),
    ],
)
def test_what_is_typed_wrong_is_one_line(model, tmp_path, capsys, arguments, message):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("")
    (tmp_path / "l.csv").write_text("file,label\nx/0.png,a\n")
    (tmp_path / "w.csv").write_text("file,Width\nx/0.png,a\n")
    given = {
        "ZIP": make_zip(tmp_path / "a.zip", IMAGES).uri,
        "WIDTH": str(tmp_path / "w.csv"),
        "CSV": str(tmp_path / "l.csv"),
        "TEXTS": str(tmp_path / "texts"),
    }
    assert embed(model, tmp_path / "out", *(given.get(word, word) for word in arguments)) == 2
    error = capsys.readouterr().err
    assert message.replace("TEXTS", given["TEXTS"]) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_dataflow_and_its_template_know_the_flags(model, tmp_path, capsys):
    place = make_zip(tmp_path / "a.zip", IMAGES).uri
    cloud = ["--runner_config", "dataflow_cpu", "--project", "p", "--region", "r",
             "--temp_location", "gs://b/t"]  # fmt: skip
    assert embed(model, tmp_path / "out", "--input", place, *cloud) == 2
    assert f"--input {place}: is on this machine" in capsys.readouterr().err
    types = {p["name"]: p["paramType"] for p in metadata("images")["parameters"]}
    assert (types["input"], types["labels"], types["fit"]) == ("TEXT", "GCS_READ_FILE", "ENUM")
