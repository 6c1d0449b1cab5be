"""The slide job from disk, through the command line, to disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from beamscope.pipelines.main import main
from beamscope.transforms.formats.tfrecord import load_parsing_spec
from beamscope.transforms.output.schema import PROBLEMS_SCHEMA
from beamscope.transforms.slides.outcome import TABLE_SCHEMA
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from tests.shared_data import shared

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def mean_model(tmp_path_factory):
    """A model that answers the mean colour, so that every embedding can be checked by hand."""

    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 64, 64, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    path = tmp_path_factory.mktemp("model") / "mean-colour"
    tf.saved_model.save(MeanColour(), str(path))
    return path


@pytest.fixture(scope="session")
def slides(tmp_path_factory):
    """Two good slides and a broken one."""
    folder = tmp_path_factory.mktemp("slides")
    for name, seed in (("a", 1), ("b", 2)):
        spec = SampleSlide(width=1200, height=1000, mpp=0.5, seed=seed)
        write_sample_slide(folder / f"{name}.svs", spec)
    (folder / "broken.svs").write_text("<html>404 Not Found</html>")
    return folder


def embed(*arguments):
    return main(["slides", *map(str, arguments)])


def read_rows(output):
    return ds.dataset(
        sorted(str(path) for path in output.glob("embeddings/*.parquet"))
    ).to_table().to_pandas()  # fmt: skip


def assert_same_dataset(one, other):
    for name in ("slides.parquet", "problems.parquet"):
        assert pq.read_table(one / name).equals(pq.read_table(other / name))
    rows, others = read_rows(one), read_rows(other)
    np.testing.assert_array_equal(
        np.stack(rows.pop("embedding")), np.stack(others.pop("embedding"))
    )
    pd.testing.assert_frame_equal(rows, others)


def test_the_dataset_says_everything(slides, mean_model, tmp_path, capsys):
    output = tmp_path / "out"
    status = embed("--input", slides, "--model", mean_model, "--output", output)
    assert status == 3  # one of three slides failed
    table = pq.read_table(output / "slides.parquet")
    assert table.schema.equals(TABLE_SCHEMA)
    by_id = {row["slide_id"]: row for row in table.to_pylist()}
    assert {name: row["status"] for name, row in by_id.items()} == {
        "a": "done",
        "b": "done",
        "broken": "failed",
    }
    assert by_id["broken"]["reason"].startswith("not_a_slide: ")
    assert by_id["broken"]["shard"] is None
    rows = read_rows(output)
    for row in by_id.values():
        assert row["patches_planned"] == row["patches_embedded"] + row["patches_failed"]
        assert row["patches_embedded"] == (rows["slide_id"] == row["slide_id"]).sum()
    assert not rows.duplicated(["slide_id", "x_level0", "y_level0"]).any()

    problems = pq.read_table(output / "problems.parquet")
    assert problems.schema.equals(PROBLEMS_SCHEMA)
    assert problems["item_id"].to_pylist() == ["broken"]

    description = json.loads((output / "dataset.json").read_text())
    assert description["complete"] is True
    assert description["counts"]["rows"] == len(rows)
    assert description["counts"]["slides"] == {"done": 2, "failed": 1}
    assert description["options"]["mpp"] == 0.5
    metadata = pq.read_schema(output / "embeddings/embeddings-00000-of-00001.parquet").metadata
    assert metadata[b"beamscope.model_digest"].decode() == description["model"]["digest"]
    assert metadata[b"beamscope.fingerprint"].decode() == description["fingerprint"]
    assert {path.name for path in (output / "qc").iterdir()} == {"a.jpg", "b.jpg"}

    printed = capsys.readouterr()
    assumed = "model mean-colour: input range 0..1 is assumed: the model names none"
    assert assumed in printed.out.partition("2 done, 1 failed")[0]
    assert "2 done, 1 failed" in printed.out
    assert "broken: " in printed.out
    assert "33% of the slides failed, more than --max_failed 0.1" in printed.out


def test_rows_are_what_openslide_and_the_model_say(slides, mean_model, tmp_path):
    output = tmp_path / "out"
    embed("--input", slides / "a.svs", "--model", mean_model, "--output", output)
    rows = read_rows(output)
    assert len(rows) > 10
    with openslide.OpenSlide(slides / "a.svs") as slide:
        for row in rows.itertuples():
            region = slide.read_region((row.x_level0, row.y_level0), 0, (64, 64)).convert("RGB")
            expected = np.asarray(region, np.float64).mean(axis=(0, 1)) / 255
            # A mean of 4,096 pixels, summed in float32; one grey level more would be 4e-3.
            np.testing.assert_allclose(row.embedding, expected, atol=5e-5)
            assert (row.size_level0, row.mpp) == (64, 0.5)


def test_formats_hold_the_same_rows(slides, mean_model, tmp_path):
    output = tmp_path / "out"
    embed("--input", slides / "a.svs", slides / "b.svs", "--model", mean_model, "--output", output,
          "--num_shards", 2, "--format", "parquet", "tfrecord", "tfrecord.gz")  # fmt: skip
    rows = read_rows(output)
    spec = load_parsing_spec(json.loads((output / "parsing_spec.json").read_text()))
    for ending, compression in (("tfrecord", ""), ("tfrecord.gz", "GZIP")):
        paths = sorted(
            str(path) for path in output.glob(f"embeddings-{ending}/*-of-00002.{ending}")
        )
        assert len(paths) == 2
        examples = tf.data.TFRecordDataset(paths, compression_type=compression).map(
            lambda example: tf.io.parse_single_example(example, spec)
        )
        parsed = list(examples.as_numpy_iterator())
        assert len(parsed) == len(rows)
        for example, row in zip(parsed, rows.to_dict("records"), strict=True):
            np.testing.assert_array_equal(example.pop("embedding"), row.pop("embedding"))
            row["slide_id"] = row["slide_id"].encode()
            # A null is left out of a tf.Example, for which the spec has an empty text.
            assert pd.isna(row.pop("class"))
            assert example.pop("class") == b""
            assert example == row
    # pandas alone reads the folder, or a shard; a slide is in one shard only.
    pd.testing.assert_frame_equal(pd.read_parquet(output / "embeddings"), rows)
    shards = [pd.read_parquet(path) for path in sorted(output.glob("embeddings/*.parquet"))]
    assert [set(shard["slide_id"]) for shard in shards] == [{"a"}, {"b"}]


def _spoil_tile(path, column, row):
    """Overwrites a tile of level 0; returns its left, top, right and bottom, level-0 pixels."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        index = row * -(-page.imagewidth // page.tilewidth) + column
        offset, length = page.dataoffsets[index], page.databytecounts[index]
        side = page.tilewidth
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\0" * length)
    return column * side, row * side, (column + 1) * side, (row + 1) * side


@pytest.mark.parametrize("reader", ["openslide", "native"])
def test_a_bad_tile_costs_the_patches_that_touch_it(slides, mean_model, tmp_path, reader):
    good, spoiled = tmp_path / "good", tmp_path / "spoiled"
    whole = tmp_path / "a.svs"
    shutil.copy(slides / "a.svs", whole)
    command = ["--input", whole, "--model", mean_model, "--reader", reader, "--block_size", 50]
    assert embed(*command, "--output", good) == 0
    left, top, right, bottom = _spoil_tile(whole, 2, 1)
    assert embed(*command, "--output", spoiled) == 0

    rows = read_rows(good)
    x, y = rows["x_level0"], rows["y_level0"]
    hit = (x < right) & (x + 64 > left) & (y < bottom) & (y + 64 > top)
    assert 0 < hit.sum() < len(rows) / 2
    problems = pq.read_table(spoiled / "problems.parquet").to_pandas()
    lost = set(zip(problems["x_level0"], problems["y_level0"], strict=True))
    assert set(zip(x[hit], y[hit], strict=True)) <= lost
    # What could not be seen counts as tissue, and is tried: it may be more, but nowhere else.
    assert all(left - 64 < x < right and top - 64 < y < bottom for x, y in lost)
    assert set(problems["kind"]) == {"unreadable_region"}
    # Everything else of the slide is kept, as it was.
    key = ["x_level0", "y_level0"]
    kept = read_rows(spoiled).set_index(key)["embedding"]
    for corner, embedding in rows[~hit].set_index(key)["embedding"].items():
        np.testing.assert_array_equal(kept[corner], embedding)
    (row,) = pq.read_table(spoiled / "slides.parquet").to_pylist()
    assert (row["status"], row["patches_failed"]) == ("partial", len(lost))
    # The picture marks them: red in the middle of each, and nowhere in the undamaged one.
    assert _red(spoiled) > 20 * max(1, _red(good))


def _red(output):
    picture = np.asarray(Image.open(output / "qc" / "a.jpg").convert("RGB")).astype(int)
    return int(((picture[..., 0] - picture[..., 1:].max(axis=2)) > 120).sum())


def test_a_second_start_does_nothing_twice(slides, mean_model, tmp_path, capsys):
    output = tmp_path / "out"
    command = ["--input", slides / "a.svs", slides / "b.svs", "--model", mean_model,
               "--output", output, "--block_size", 8, "--verbose"]  # fmt: skip
    assert embed(*command) == 0
    first = read_rows(output)
    assert embed(*command) == 0
    assert "complete before: nothing to do" in capsys.readouterr().out
    # One more slide: the dataset grows by it, and nothing else is done again.
    command[2:2] = [slides / "broken.svs"]
    assert embed(*command) == 3
    assert "slides planned: 1 now, 2 before; blocks embedded: 0 now" in capsys.readouterr().out
    pd.testing.assert_frame_equal(
        read_rows(output).drop(columns="embedding"), first.drop(columns="embedding")
    )
    # Another format of the same rows is written from the parts.
    assert embed(*command, "--num_shards", 3, "--dtype", "float16") == 3
    assert len(list(output.glob("embeddings/*.parquet"))) == 3
    np.testing.assert_array_equal(
        np.stack(read_rows(output)["embedding"]), np.stack(first["embedding"]).astype(np.float16)
    )


def test_other_settings_are_refused_and_named(slides, mean_model, tmp_path, capsys):
    output = tmp_path / "out"
    command = ["--input", slides / "a.svs", "--model", mean_model, "--output", output]
    assert embed(*command) == 0
    before = sorted(output.rglob("*"))
    assert embed(*command, "--min_tissue", "0.5") == 2
    assert "min_tissue was 0.25 and is now 0.5" in capsys.readouterr().err
    assert sorted(output.rglob("*")) == before
    assert embed(*command, "--min_tissue", "0.5", "--overwrite") == 0
    assert (read_rows(output)["tissue"] >= 0.5).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "nowhere/*.svs"], "--input nowhere/*.svs: matches no slide"),
        (["--manifest", "none.csv"], "--manifest none.csv: "),
        (["--input", "SLIDES", "--mmp", "0.5"], "--mmp 0.5: unknown flag; did you mean --mpp?"),
        (["--input", "SLIDES", "--runer=X"], "--runer X: unknown flag; did you mean --runner?"),
        (["--input", "SLIDES", "--mpp", "fine"], "argument --mpp: invalid float value: 'fine'"),
        (["--input", "SLIDES", "--mpp", "0"], "--mpp must be between 0.05 and 20"),
        (["--input", "SLIDES", "--overlap", "64"], "--overlap must be between 0 and 63"),
        (
            ["--input", "SLIDES", "--min_tissue", "25"],
            "--min_tissue must be between 0 and 1",
        ),
        (
            ["--input", "SLIDES", "--num_shards", "0"],
            "--num_shards must be between 1 and 99999",
        ),
        (["--input", "SLIDES", "--max_failed", "2"], "--max_failed must be between 0 and 1"),
        (["--input", "SLIDES", "--patch_size", "0"], "--patch_size must be between 1 and"),
        (
            ["--input", "SLIDES", "--patch_size", "32", "--fit", "crop"],
            "--fit crop: a patch of 32 px is smaller than the model's input of 64 px",
        ),
        (
            ["--input", "SLIDES", "--mpp", "20"],
            "--mpp 20: did you mean --magnification 20x, 0.5 µm/px?",
        ),
        (
            ["--input", "SLIDES", "--assume_mpp", "40"],
            "--assume_mpp 40: did you mean --assume_mpp 0.25, the µm/px of 40x?",
        ),
        (
            ["--input", "SLIDES", "--magnification", "0.5mpp"],
            "--magnification must be between 0.5x and 200x, such as 20x; got 0.5mpp",
        ),
        (
            ["--input", "SLIDES", "--magnification", "20x", "--mpp", "0.5"],
            "argument --mpp: not allowed with argument --magnification",
        ),
        (["--input", "SLIDES", "--masks", "SLIDES", "--tissue", "otsu"], "needs --tissue mask"),
        (["--input", "SLIDES", "--assume_mpp", "250"], "--assume_mpp must be between"),
        (["--input", "SLIDES", "--model", "SLIDES"], "saved_model.pb"),
        (["--input", "SLIDES", "--model", "nowhere"], "no such file or directory"),
        (["--input", "SLIDES", "--runner_config", "fl"], "--runner_config fl: is neither a file"),
        (["--input", "SLIDES", "SLIDES/a.svs", "COPY"], "slide id 'a' is used twice"),
        ([], "one of the arguments --input --manifest is required"),
    ],
)
def test_what_is_typed_wrong_is_one_line(slides, mean_model, tmp_path, capsys, arguments, message):
    copy = tmp_path / "a.tiff"
    copy.write_bytes(b"")
    output = tmp_path / "out"
    arguments = [
        argument.replace("SLIDES", str(slides)).replace("COPY", str(copy)) for argument in arguments
    ]
    if "--model" not in arguments:
        arguments += ["--model", str(mean_model)]
    assert embed(*arguments, "--output", output) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("beamscope slides: ")
    assert error.count("\n") == 1
    assert not output.exists()


def test_a_manifest_gives_resolution_and_mask_by_slide(slides, mean_model, tmp_path):
    Image.fromarray(np.full((100, 120), 255, np.uint8)).save(tmp_path / "all.png")
    (tmp_path / "m.csv").write_text(
        f"slide_id,uri,mpp,mask\nx,{slides}/a.svs,,all.png\ny,{slides}/a.svs,0.25,all.png\n"
    )
    output = tmp_path / "out"
    assert embed("--manifest", tmp_path / "m.csv", "--model", mean_model, "--output", output,
                 "--tissue", "mask", "--stride", 128) == 0  # fmt: skip
    rows = {row["slide_id"]: row for row in pq.read_table(output / "slides.parquet").to_pylist()}
    assert (rows["x"]["mpp_source"], rows["x"]["read_px"]) == ("slide", 64)
    assert (rows["y"]["mpp_source"], rows["y"]["read_px"]) == ("manifest", 128)
    # 1200 x 1000 px, a patch of 64 at every 128.
    assert rows["x"]["patches_embedded"] == 9 * 8


def test_killed_at_any_moment_the_same_command_goes_on(slides, mean_model, tmp_path, capfd):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"

    def command(output):
        return ["--input", str(slides / "a.svs"), str(slides / "b.svs"), "--model",
                str(mean_model), "--output", str(output), "--block_size", "2"]  # fmt: skip

    assert embed(*command(undisturbed)) == 0
    for parts_before_the_kill in (0, 1, 40):
        process = subprocess.Popen(
            [sys.executable, "-m", "beamscope", "slides", *command(killed)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        reached = parts_before_the_kill
        while process.poll() is None:
            planned = list(killed.glob(".beamscope/*/plans/*.arrow"))
            parts = list(killed.glob(".beamscope/*/parts/*/*/*.arrow"))
            if planned and len(parts) >= reached:
                break
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (killed / "dataset.json").exists()
    left = len(list(killed.glob(".beamscope/*/parts/*/*/*.arrow")))
    assert left >= 40
    capfd.readouterr()
    assert embed(*command(killed), "--verbose") == 0
    printed = capfd.readouterr().out
    assert "slides planned: 0 now, 2 before" in printed
    assert f"{left} before" in printed
    assert_same_dataset(killed, undisturbed)
    # Nothing half-written is left behind in the dataset itself.
    assert not list(killed.glob("*tmp*"))


def test_ctrl_c_ends_in_one_line(slides, mean_model, tmp_path):
    output = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "beamscope", "slides", "--input", str(slides / "a.svs"),
         "--model", str(mean_model), "--output", str(output), "--block_size", "1"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not list(output.glob(".beamscope/*/parts/*/*/*.arrow")):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; the same command continues from here" in said
    assert "Traceback" not in said


def test_real_slides_good_and_broken(tmp_path):
    model = shared("models/squeezenet11-imagenet")
    output = tmp_path / "out"
    status = embed("--input", shared("data/slides"), shared("data/slides_broken"),
                   "--model", model, "--output", output)  # fmt: skip
    assert status == 3
    rows = {row["slide_id"]: row for row in pq.read_table(output / "slides.parquet").to_pylist()}
    done = {name for name, row in rows.items() if row["status"] == "done"}
    assert done == {
        "CMU-1-Small-Region",
        "cmu1_jp2k_33005_pyr",
        "cmu1_sparse_tiles",
        "cmu1-dicom",
        "tcga_generic_pyramid_mpp0.5",
        "test3-DAPI-2-(387)",
    }
    assert rows["tcga-cr-7395-01a-01-ts1"]["reason"].startswith("missing_mpp")
    assert rows["unreadable"]["status"] == "empty"
    assert {name: row["status"] for name, row in rows.items() if name not in done} == {
        "tcga-cr-7395-01a-01-ts1": "failed",
        "unreadable": "empty",
        "CMU-1-Small-Region.jp2": "failed",
        "cmu1_truncated_75pct": "failed",
        "empty": "failed",
        "html_error": "failed",
        "unopenable": "failed",
    }
    assert all(row["reason"] for name, row in rows.items() if name not in done)
    _agrees_with_an_independent_reading(output, rows, model)


def _agrees_with_an_independent_reading(output, slides, model):
    """OpenSlide and the SavedModel, called by hand, give the embeddings of a sample of rows."""
    plain = tf.saved_model.load(str(model))
    sample = read_rows(output).sample(60, random_state=0)
    assert sample["slide_id"].nunique() == 6
    for row in sample.itertuples():
        said = slides[row.slide_id]
        side = said["read_px"]
        with openslide.OpenSlide(said["uri"]) as slide:
            corner = (row.x_level0, row.y_level0)
            region = slide.read_region(corner, said["level"], (side, side))
        patch = Image.alpha_composite(Image.new("RGBA", region.size, "white"), region)
        # TensorFlow's area resizing: independent of the one that the job uses.
        pixels = np.asarray(patch.convert("RGB"), np.float32)[None]
        image = tf.image.resize(pixels, (224, 224), method="area") / 255
        expected = plain(image).numpy()[0]
        cosine = expected @ row.embedding / np.linalg.norm(expected)
        assert cosine / np.linalg.norm(row.embedding) >= 0.9999


def test_tcga_works_with_an_assumed_resolution(tmp_path):
    output = tmp_path / "out"
    assert embed("--input", shared("data/slides/tcga-cr-7395-01a-01-ts1.svs"), "--model",
                 shared("models/squeezenet11-imagenet"), "--output", output,
                 "--assume_mpp", 0.25) == 0  # fmt: skip
    (row,) = pq.read_table(output / "slides.parquet").to_pylist()
    assert (row["mpp_source"], row["mpp_x"], row["level"]) == ("assumed", 0.25, 1)
    assert row["patches_embedded"] > 30


def test_patches_of_another_size_are_fitted_to_the_model(slides, mean_model, tmp_path, capsys):
    for method in ("resize", "crop"):
        output = tmp_path / method
        flags = [] if method == "resize" else ["--fit", "crop"]
        assert embed("--input", slides / "a.svs", "--model", mean_model, "--output", output,
                     "--magnification", "20x", "--patch_size", 128, *flags) == 0  # fmt: skip
        rows = read_rows(output)
        assert len(rows) > 5
        with openslide.OpenSlide(slides / "a.svs") as slide:
            for row in rows.itertuples():
                region = slide.read_region((row.x_level0, row.y_level0), 0, (128, 128))
                pixels = np.asarray(region.convert("RGB"), np.float64)
                if method == "crop":
                    pixels = pixels[32:96, 32:96]
                # Halving rounds each of 4,096 pixels to a grey level.
                expected = pixels.mean(axis=(0, 1)) / 255
                np.testing.assert_allclose(row.embedding, expected, atol=2e-3)
                assert (row.size_level0, row.mpp) == (128, 0.5)
        options = json.loads((output / "dataset.json").read_text())["options"]
        assert (options["fit"], options["patch_px"], options["mpp"]) == (method, 128, 0.5)
    assert "patches of 128 px are cropped to the middle 64 px" in capsys.readouterr().err
    # Plans do not depend on it: without embeddings of the other, all would be planned before.
    plans = [next((tmp_path / name / ".beamscope").glob("*/plans")) for name in ("resize", "crop")]
    assert plans[0].parent.name == plans[1].parent.name


def test_further_columns_of_a_manifest_travel(slides, mean_model, tmp_path, capsys):
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "slide_id,uri,patient,label,age,split\n"
        f"x,{slides}/a.svs,007,tumour,61,train\ny,{slides}/b.svs,008,,70,test\n"
    )
    output = tmp_path / "out"
    command = ("--model", mean_model, "--output", output)
    assert embed("--manifest", manifest, *command) == 0
    assert "further columns for slides.parquet: patient, label, age, split" in (
        capsys.readouterr().err
    )
    table = pq.read_table(output / "slides.parquet")
    assert table.schema.names[-4:] == ["patient", "label", "age", "split"]
    assert table["patient"].to_pylist() == ["007", "008"]
    assert table["label"].to_pylist() == ["tumour", None]
    assert (table["age"].to_pylist(), str(table["age"].type)) == ([61, 70], "int64")
    # Other labels change the table alone; a further slide without columns has none.
    manifest.write_text(manifest.read_text().replace("tumour", "benign"))
    assert embed("--manifest", manifest, *command, "--verbose") == 0
    assert "0 now, 2 before" in capsys.readouterr().out
    assert embed("--input", slides / "a.svs", *command, "--add") == 0
    table = pd.read_parquet(output / "slides.parquet")
    assert dict(zip(table["slide_id"], table["label"].fillna("none"), strict=True)) == {
        "a": "none", "x": "benign", "y": "none"
    }  # fmt: skip
    rows = read_rows(output).merge(table, on="slide_id")
    assert set(rows[rows["slide_id"] == "x"]["patient"]) == {"007"}

    capsys.readouterr()
    manifest.write_text(f"slide_id,uri,Status\nx,{slides}/a.svs,good\n")
    assert embed("--manifest", manifest, *command) == 2
    error = capsys.readouterr().err
    assert "slides.parquet has a column 'status' of its own; rename the column 'Status'" in error
    assert error.count("\n") == 1


def test_what_lets_more_slides_in_costs_nothing(mean_model, tmp_path, capsys):
    """A slide without mpp, one that is too coarse: let in later, without --overwrite."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for name, mpp in (("good", 0.5), ("coarse", 1.0)):
        write_sample_slide(folder / f"{name}.svs", SampleSlide(700, 600, mpp=mpp, seed=3))
    with openslide.OpenSlide(folder / "good.svs") as slide:
        pixels = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB"))
    tifffile.imwrite(folder / "silent.tiff", pixels, tile=(256, 256), compression="jpeg",
                     photometric="rgb")  # fmt: skip
    output = tmp_path / "out"
    command = ("--input", folder, "--model", mean_model, "--output", output, "--max_failed", 1)

    def statuses():
        rows = pq.read_table(output / "slides.parquet").to_pylist()
        return {row["slide_id"]: row["status"] for row in rows}

    assert embed(*command) == 0
    assert statuses() == {"good": "done", "coarse": "failed", "silent": "failed"}
    printed = capsys.readouterr().out
    assert "--assume_mpp (--add: for just these); embedded slides stay" in printed
    # For just one slide.
    assert embed("--input", folder / "silent.tiff", *command[2:], "--assume_mpp", 0.5, "--add") == 0
    assert statuses() == {"good": "done", "coarse": "failed", "silent": "done"}
    # It is kept: other starts need not say it again, and no slide is planned or embedded anew.
    assert embed(*command, "--allow_upsampling", "--verbose") == 0
    assert statuses() == {"good": "done", "coarse": "done", "silent": "done"}
    printed = capsys.readouterr()
    assert "1 slides keep what an earlier start assumed for them" in printed.err
    assert "slides planned: 1 now, 2 before; blocks embedded: 1 now, 2 before" in printed.out
    options = json.loads((output / "dataset.json").read_text())["options"]
    assert options["allow_upsampling"] is True
    # Taking it back would drop a slide: that is refused, by its name.
    assert embed(*command) == 2
    assert "allow_upsampling was True and is now False" in capsys.readouterr().err
    # Another value changes just the slides that it is assumed for.
    assert embed(*command, "--allow_upsampling", "--assume_mpp", 0.25, "--verbose") == 0
    printed = capsys.readouterr().out
    assert "slides planned: 1 now, 2 before; blocks embedded: 1 now, 2 before" in printed
