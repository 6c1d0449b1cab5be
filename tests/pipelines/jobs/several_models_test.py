"""Several models in one job, from disk, through the command line, to disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import openslide
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from PIL import Image

from beamscope import open_dataset
from beamscope.pipelines.main import main
from beamscope.transforms.formats.tfrecord import load_parsing_spec
from beamscope.transforms.inference.trial_images import structured_images
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.xrays.sample import write_sample_archive
from tests.shared_data import shared

ROOT = Path(__file__).resolve().parents[3]
SIDE = 64


class Model(tf.Module):
    """Answers numbers of the mean colour; not a number for some percent of images."""

    def __init__(self, factors, holes=0):
        super().__init__()
        self.factors = tf.Variable(tf.constant(factors, tf.float32))
        self.holes = holes
        # The images that every model is tried with get numbers.
        tried = structured_images(3, SIDE).mean(axis=(1, 2))[:, 0] / 255
        self.shift = next(
            shift
            for shift in range(100)
            if all((np.floor(tried * 10_000) + shift) % 100 > holes + 1)
        )

    @tf.function(input_signature=[tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32)])
    def __call__(self, images):
        means = tf.reduce_mean(images, axis=[1, 2])
        answer = means @ self.factors
        if self.holes:
            place = tf.math.floormod(tf.floor(means[:, :1] * 10_000) + self.shift, 100)
            answer = tf.where(place < self.holes, answer * float("nan"), answer)
        return answer


MODELS = {
    "one": Model(np.eye(3)),
    "two": Model(np.arange(12).reshape(3, 4) / 7),
    "holes-30": Model(np.eye(3)[:, :2], 30),
    "holes-10": Model(np.ones((3, 5)) / 3, 10),
}


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, model in MODELS.items():
        tf.saved_model.save(model, str(folder / name))
    return folder


@pytest.fixture(scope="session")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    for name, seed in (("a", 1), ("b", 2)):
        spec = SampleSlide(width=1200, height=1000, mpp=0.5, seed=seed)
        write_sample_slide(folder / f"{name}.svs", spec)
    return folder


def command(job, inputs, output, *models):
    chosen = [part for model in models for part in ("--model", str(model))]
    return [job, "--input", str(inputs), "--output", str(output), *chosen, "--compile", "none"]


def embed(slides, output, *models, more=()):
    argv = command("slides", slides, output, *models)
    return main([*argv, "--block_size", "16", *map(str, more)])


def shards(output):
    return ds.dataset(sorted(map(str, output.glob("embeddings/*.parquet")))).to_table()


def vectors(column):
    return np.stack(column.to_numpy())


def described(output):
    return json.loads((output / "dataset.json").read_text())


def counters(output):
    return described(output)["counters"]


def assert_equal_to_datasets_of_one(several, ones):
    """Every column, without the rows that its model lacks, equals the dataset of that model."""
    rows = shards(several)
    identity = [name for name in rows.column_names if not name.startswith("embedding")]
    for column, one in ones.items():
        alone = shards(one)
        values = vectors(rows[column])
        there = ~np.isnan(values[:, 0])
        assert np.isfinite(values[there]).all()
        assert np.isnan(values[~there]).all()
        assert rows.filter(there).select(identity).equals(alone.select(identity))
        np.testing.assert_array_equal(values[there], vectors(alone["embedding"]))


@pytest.fixture(scope="module")
def ones(slides, models, tmp_path_factory):
    """A dataset of each model alone."""
    folder = tmp_path_factory.mktemp("ones")
    for name in MODELS:
        assert embed(slides, folder / name, models / name) == 0
    return folder


@pytest.fixture(scope="module")
def both(slides, models, tmp_path_factory):
    output = tmp_path_factory.mktemp("both") / "out"
    formats = ("--format", "parquet", "tfrecord")
    assert embed(slides, output, models / "one", f"B={models}/two", more=formats) == 0
    return output


def test_a_dataset_of_two_models_is_two_datasets_of_one(both, ones):
    columns = {"embedding_one": ones / "one", "embedding_B": ones / "two"}
    assert_equal_to_datasets_of_one(both, columns)
    rows = described(both)["counts"]["rows"]
    assert rows == described(ones / "one")["counts"]["rows"]
    # Each block was read once, and embedded twice.
    assert counters(both)["rows_read"] == rows
    assert counters(both)["patches_embedded"] == 2 * rows
    assert pq.read_table(both / "slides.parquet").equals(pq.read_table(ones / "one/slides.parquet"))


def test_the_description_names_each_model(both, ones):
    said = described(both)
    assert said["model"] is None
    for model, column, alone in zip(
        said["models"], ("embedding_one", "embedding_B"), ("one", "two"), strict=True
    ):
        own = described(ones / alone)
        assert model["column"] == column
        assert model["fingerprint"] == own["fingerprint"]
        assert {name: model[name] for name in own["model"]} == own["model"]
        metadata = pq.read_schema(next(both.glob("embeddings/*.parquet"))).metadata
        digest = metadata[f"beamscope.model_digest.{column}".encode()].decode()
        assert digest == own["model"]["digest"]


def test_tfrecords_have_a_feature_for_each_model(both):
    spec = load_parsing_spec(json.loads((both / "parsing_spec.json").read_text()))
    paths = sorted(map(str, both.glob("embeddings-tfrecord/*.tfrecord")))
    parsed = [tf.io.parse_single_example(one, spec) for one in tf.data.TFRecordDataset(paths)]
    rows = shards(both)
    for column in ("embedding_one", "embedding_B"):
        found = np.stack([one[column].numpy() for one in parsed])
        np.testing.assert_array_equal(found, vectors(rows[column]))


def test_readers_ask_which_model(both, ones):
    dataset = open_dataset(both)
    with pytest.raises(InputError, match=r"choose embedding= .* from embedding_one, embedding_B"):
        dataset.load()
    with pytest.raises(InputError, match="has no embeddings 'C'"):
        open_dataset(both, embedding="C")
    for name, alone in (("one", "one"), ("B", "two"), ("embedding_B", "two")):
        chosen = open_dataset(both, embedding=name)
        np.testing.assert_array_equal(
            chosen.load().embeddings, open_dataset(ones / alone).load().embeddings
        )
        streamed = np.concatenate([batch["embeddings"] for batch in chosen.stream(7)])
        np.testing.assert_array_equal(streamed, chosen.load().embeddings)


def test_commands_ask_which_model(both, ones, tmp_path, capsys):
    assert main(["export", str(both), "--to", "npy", "--output", str(tmp_path / "n")]) == 2
    assert "choose embedding= (--embedding) from" in capsys.readouterr().err
    assert main(["export", str(both), "--to", "npy", "--output", str(tmp_path / "n"),
                 "--embedding", "B"]) == 0  # fmt: skip
    expected = open_dataset(ones / "two").features("a").embeddings
    np.testing.assert_array_equal(np.load(tmp_path / "n" / "a.npy"), expected)
    assert main(["slide-vectors", str(both), "--embedding", "one"]) == 0
    found = pq.read_table(both / "slide_embeddings.parquet")
    np.testing.assert_allclose(
        vectors(found["embedding"])[0],
        open_dataset(ones / "one").features("a").embeddings.mean(axis=0), rtol=1e-5,
    )  # fmt: skip
    (both / "slide_embeddings.parquet").unlink()
    assert main(["report", str(both), "--embedding", "B"]) == 0
    (both / "report.html").unlink()
    capsys.readouterr()
    assert main(["status", str(both)]) == 0
    rows = described(both)["counts"]["rows"]
    said = capsys.readouterr().out
    assert f"done      {2 * rows:,} of {2 * rows:,} patches (100.0%)" in said
    assert f"embedding_B: {rows:,} of {rows:,}" in said
    assert main(["verify", str(both)]) == 0


def test_a_model_that_is_added_is_all_that_is_computed(slides, models, ones, tmp_path, capsys):
    output = tmp_path / "out"
    shutil.copytree(ones / "one", output)
    rows = described(output)["counts"]["rows"]
    before = {path: path.stat().st_mtime_ns for path in output.glob(".beamscope/*/parts/*/*/*")}
    assert embed(slides, output, models / "two", models / "one", more=["--dry_run"]) == 0
    said = capsys.readouterr().out
    assert f"embed {rows:,} patches" in said
    assert "by 2 models together" in said
    assert embed(slides, output, models / "two", models / "one") == 0
    columns = {"embedding_two": ones / "two", "embedding_one": ones / "one"}
    assert_equal_to_datasets_of_one(output, columns)
    assert [name for name in shards(output).column_names if name.startswith("embedding")] == [
        "embedding_two", "embedding_one",
    ]  # fmt: skip
    assert counters(output)["rows_read"] == counters(output)["patches_embedded"] == rows
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # Without a change, nothing is done; with one model less, nothing is read.
    capsys.readouterr()
    assert embed(slides, output, models / "two", models / "one") == 0
    assert "complete before: nothing to do" in capsys.readouterr().out
    assert embed(slides, output, models / "two") == 0
    assert "rows_read" not in counters(output)
    assert "patches_embedded" not in counters(output)
    assert shards(output).equals(shards(ones / "two"))
    assert described(output)["fingerprint"] == described(ones / "two")["fingerprint"]
    assert embed(slides, output, models / "one", models / "two") == 0
    assert "rows_read" not in counters(output)


def test_blocks_with_lost_rows_are_not_embedded_again_for_a_model_that_is_added(
    slides, models, ones, tmp_path
):
    output = tmp_path / "out"
    shutil.copytree(ones / "holes-30", output)
    before = {path: path.stat().st_mtime_ns for path in output.glob(".beamscope/*/parts/*/*/*")}
    assert embed(slides, output, models / "holes-30", models / "one") == 0
    columns = {"embedding_holes_30": ones / "holes-30", "embedding_one": ones / "one"}
    assert_equal_to_datasets_of_one(output, columns)
    assert counters(output)["patches_embedded"] == described(output)["counts"]["rows"]
    assert counters(output)["blocks_embedded_before"] == len(before)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_another_model_alone_is_still_refused(slides, models, ones, tmp_path, capsys):
    output = tmp_path / "out"
    shutil.copytree(ones / "one", output)
    assert embed(slides, output, models / "two") == 2
    said = capsys.readouterr().err
    assert "was begun with other settings: model_digest was" in said
    assert "add a model by naming the one before with a --model of its own" in said


def test_a_row_that_a_model_lacks_is_nan_in_its_column(slides, models, ones, tmp_path, capsys):
    output = tmp_path / "out"
    names = ("holes-30", "holes-10", "one")
    assert embed(slides, output, *(models / name for name in names)) == 0
    columns = {"embedding_holes_30": ones / "holes-30", "embedding_holes_10": ones / "holes-10",
               "embedding_one": ones / "one"}  # fmt: skip
    assert_equal_to_datasets_of_one(output, columns)
    counts = described(output)["counts"]
    lost = {name: counts["rows"] - described(one)["counts"]["rows"]
            for name, one in columns.items()}  # fmt: skip
    assert lost["embedding_holes_30"] > lost["embedding_holes_10"] > lost["embedding_one"] == 0
    assert counts["lacking_embedding_holes_30"] == lost["embedding_holes_30"]
    assert "lacking_embedding_one" not in counts
    said = capsys.readouterr().out
    expected = f"embedding_holes_30: {lost['embedding_holes_30']:,} rows have no embedding"
    assert expected in said
    problems = pq.read_table(output / "problems.parquet").to_pylist()
    assert len(problems) == sum(lost.values())
    assert {row["message"].partition(":")[0] for row in problems} == set(columns) - {
        "embedding_one"
    }
    slide = pq.read_table(output / "slides.parquet").to_pylist()[0]
    assert slide["status"] == "partial"
    assert slide["patches_embedded"] == slide["patches_planned"]
    dataset = open_dataset(output, embedding="holes_30")
    alone = open_dataset(ones / "holes-30")
    for found, expected in ((dataset.load(), alone.load()),
                            (dataset.features("b"), alone.features("b"))):  # fmt: skip
        np.testing.assert_array_equal(found.embeddings, expected.embeddings)
        np.testing.assert_array_equal(found.coordinates, expected.coordinates)
    streamed = [batch["embeddings"] for batch in dataset.stream(5, seed=1)]
    assert sum(map(len, streamed)) == len(alone)


def test_rows_that_no_model_embeds_are_left_out(slides, models, ones, tmp_path):
    output = tmp_path / "out"
    assert embed(slides, output, models / "holes-30", models / "holes-10", more=["--dtype",
                 "float16"]) == 0  # fmt: skip
    alone = [described(ones / name)["counts"] for name in ("holes-30", "holes-10", "one")]
    rows = shards(output)
    values = [vectors(rows[name])[:, 0] for name in ("embedding_holes_30", "embedding_holes_10")]
    assert values[0].dtype == np.float16
    assert not (np.isnan(values[0]) & np.isnan(values[1])).any()
    assert [(~np.isnan(one)).sum() for one in values] == [one["rows"] for one in alone[:2]]
    places = {
        (row["slide_id"], row["x_level0"], row["y_level0"])
        for name in ("holes-30", "holes-10")
        for row in shards(ones / name).to_pylist()
    }
    assert rows.num_rows == len(places) < alone[2]["rows"]
    table = pq.read_table(output / "slides.parquet").to_pylist()
    assert sum(row["patches_failed"] for row in table) == alone[2]["rows"] - len(places)


def test_killed_the_same_command_goes_on(slides, models, ones, tmp_path):
    output = tmp_path / "out"
    argv = command("slides", slides, output, models / "one", models / "two")
    argv += ["--block_size", "16"]
    process = subprocess.Popen(
        [sys.executable, "-m", "beamscope", *argv], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and len(list(output.glob(".beamscope/*/parts/*/*/*.arrow"))) < 5:
        pass
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "dataset.json").exists()
    # A block that one model has embedded and the other has not.
    parts = sorted(output.glob(".beamscope/*/parts/a/*/000000-*.arrow"))
    parts[-1].unlink()
    assert main(argv) == 0
    assert_equal_to_datasets_of_one(
        output, {"embedding_one": ones / "one", "embedding_two": ones / "two"}
    )
    assert counters(output)["blocks_embedded_before"] >= 1


@pytest.mark.slow
def test_in_several_processes(slides, models, ones, tmp_path):
    output = tmp_path / "out"
    parallel = ["--runner_config", "direct_parallel"]
    assert embed(slides, output, models / "one", models / "two", more=parallel) == 0
    assert_equal_to_datasets_of_one(
        output, {"embedding_one": ones / "one", "embedding_two": ones / "two"}
    )
    assert counters(output)["rows_read"] == described(output)["counts"]["rows"]


class Places(tf.Module):
    """Answers the values of some pixels of images of one size."""

    def __init__(self, side):
        super().__init__()
        self.scale = tf.Variable(255.0)
        spec = tf.TensorSpec([None, side, side, 3], tf.float32)
        self.__call__ = tf.function(self._answer, input_signature=[spec])

    def _answer(self, images):
        return tf.reshape(images[:, 5::16, 7::16] * self.scale, [tf.shape(images)[0], -1])


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """Models of other input sizes, each with a card that says how its makers resize."""
    folder = tmp_path_factory.mktemp("sizes")
    for name, side, card in (("s48", 48, "resize: bilinear"), ("s96", 96, "resize: bicubic")):
        tf.saved_model.save(Places(side), str(folder / name))
        (folder / name / "beamscope.yaml").write_text(f"{card}\ninput_range: 0..1\n")
    return folder


PATCHES = ("--patch_size", "64")


def test_models_of_other_sizes_get_the_patches_resized(slides, models, sizes, tmp_path, capsys):
    output, names = tmp_path / "out", ("s48", "s96")
    chosen = (sizes / "s48", models / "one", sizes / "s96")
    assert embed(slides, output, *chosen, more=PATCHES) == 0
    said = capsys.readouterr().err
    assert "patches of 64 px are resized to 48 px for the model s48 (resize: bilinear of" in said
    assert "patches of 64 px are resized to 96 px for the model s96 (resize: bicubic of" in said
    alone = {f"embedding_{name}": tmp_path / name for name in names}
    for name in names:
        assert embed(slides, tmp_path / name, sizes / name, more=PATCHES) == 0
    assert_equal_to_datasets_of_one(output, alone)
    assert counters(output)["rows_read"] == described(output)["counts"]["rows"]
    # The parts, too, are those of each model alone.
    found = {one["column"]: one for one in described(output)["models"]}
    fits = {"embedding_s48": "bilinear", "embedding_one": None, "embedding_s96": "bicubic"}
    assert {column: one["fit"] for column, one in found.items()} == fits
    for column, one in alone.items():
        assert found[column]["fingerprint"] == described(one)["fingerprint"]
        assert described(one)["options"]["fit"] == fits[column]
    run = json.loads((output / ".beamscope" / "run.json").read_text())
    recorded = {one["column"]: one["settings"]["fit"] for one in run["models"]}
    assert recorded == fits
    rows = shards(output)
    for column, side, kernel in (("embedding_s48", 48, "bilinear"),
                                 ("embedding_s96", 96, "bicubic")):  # fmt: skip
        for row in rows.slice(3, 5).to_pylist():
            with openslide.OpenSlide(slides / f"{row['slide_id']}.svs") as slide:
                region = slide.read_region((row["x_level0"], row["y_level0"]), 0, (64, 64))
            pixels = np.asarray(region.convert("RGB"), np.float32)
            resized = tf.image.resize(pixels, (side, side), kernel, antialias=True).numpy()
            expected = resized[5::16, 7::16].reshape(-1)
            np.testing.assert_allclose(row[column], expected.clip(0, 255), atol=2)
    assert main(["slides", "--input", str(slides), "--output", str(output), "--block_size", "16",
                 *PATCHES, "--compile", "none", "--only", "assemble"]) == 0  # fmt: skip


def test_other_sizes_without_a_word_on_resizing_are_refused(
    slides, models, sizes, tmp_path, capsys
):
    chosen = (models / "one", sizes / "s96")
    for more, message in (
        ([], "takes images of 64 px and {1} of 96 px, and each block is read once: give --patch"),
        (["--patch_size", "80"],
         "{0}: takes images of 64 px and patches have 80: say how its makers resize them, by"),
    ):  # fmt: skip
        assert embed(slides, tmp_path / "out", *chosen, more=more) == 2
        assert message.format(*chosen) in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
    flags = ["--patch_size", "80", "--fit", "lanczos", "--dry_run"]
    assert embed(slides, tmp_path / "out", *chosen, more=flags) == 0
    said = capsys.readouterr().err
    assert "to 64 px for the model one (--fit lanczos)" in said
    assert (
        "to 96 px for the model s96 (--fit lanczos instead of the card's resize: bicubic)" in said
    )


def test_images_are_decoded_once_for_models_of_other_sizes(models, sizes, tmp_path, capsys):
    images, draw = tmp_path / "images", np.random.default_rng(5)
    images.mkdir()
    shapes = [(100, 120), (96, 96), (70, 200), (50, 60), (99, 97), (40, 96)]
    pixels = {}
    for number, shape in enumerate(shapes):
        pixels[f"{number}.png"] = draw.integers(0, 256, (*shape, 3), np.uint8)
        Image.fromarray(pixels[f"{number}.png"]).save(images / f"{number}.png")
    (images / "broken.png").write_bytes((images / "0.png").read_bytes()[:500])
    more = ["--fit", "crop", "--max_failed", "1"]
    alone = {f"embedding_{name}": tmp_path / name for name in ("s48", "s96")}
    for one in alone.values():
        assert main([*command("images", images, one, sizes / one.name), *more]) == 0
    output = tmp_path / "out"
    shutil.copytree(alone["embedding_s96"], output)
    capsys.readouterr()
    chosen = (sizes / "s48", models / "one", sizes / "s96")
    assert main([*command("images", images, output, *chosen), *more]) == 0
    said = capsys.readouterr().err
    assert "images are cropped to the middle 48 px (--fit crop) for the model s48" in said
    assert_equal_to_datasets_of_one(output, alone)
    # s96 was there before; of what s48 could not be given, nothing can be given to the others.
    assert counters(output)["rows_read"] == 5
    assert counters(output)["patches_embedded"] == 5 + 4
    rows = shards(output).to_pylist()
    assert [Path(row["member"]).name for row in rows] == [f"{number}.png" for number in range(5)]
    for row in rows:
        image = pixels[Path(row["member"]).name]
        for column, side in (("embedding_s48", 48), ("embedding_s96", 96)):
            top, left = ((length - side) // 2 for length in image.shape[:2])
            if min(top, left) < 0:
                assert np.isnan(row[column]).all()
                continue
            seen = image[top : top + side, left : left + side][5::16, 7::16]
            np.testing.assert_allclose(row[column], seen.reshape(-1), atol=1e-3)
    problems = pq.read_table(output / "problems.parquet").to_pylist()
    by_member = {}
    for row in problems:
        by_member.setdefault(Path(row["member"]).name, []).append(row["message"])
    assert {name: len(found) for name, found in by_member.items()} == {
        "broken.png": 1, "2.png": 1, "3.png": 2, "5.png": 3,
    }  # fmt: skip
    assert by_member["2.png"] == ["embedding_s96: 96 px cannot be cropped from 200 x 70 px"]
    found = {one["column"]: one for one in described(output)["models"]}
    assert [one["input_px"] for one in found.values()] == [48, SIDE, 96]
    assert described(output)["options"]["fit"] == "crop"
    for column, one in alone.items():
        assert found[column]["fingerprint"] == described(one)["fingerprint"]
    # A report shows what the model of the column was given.
    assert main(["report", str(output), "--embedding", "s96"]) == 0
    page = (output / "report.html").read_text()
    assert "96 px cannot be cropped from 200 x 70 px" in page


def test_films_are_decoded_once_for_models_of_other_preparations(sizes, tmp_path, capsys):
    # An archive that is read from end to end, so that nothing of it is read ahead.
    films = tmp_path / "films.tgz"
    write_sample_archive(films, "tgz", 5)
    remedis = tmp_path / "cxr-50x1-remedis-m"
    tf.saved_model.save(Places(448), str(remedis))
    chosen = (sizes / "s48", remedis)
    columns = {"embedding_s48": tmp_path / "a", "embedding_cxr_50x1_remedis_m": tmp_path / "b"}
    for model, one in zip(chosen, columns.values(), strict=True):
        assert main(command("xrays", films, one, model)) == 0
    output = tmp_path / "out"
    capsys.readouterr()
    assert main(command("xrays", films, output, *chosen)) == 0
    said = capsys.readouterr().err
    assert "films are prepared at 48 px (--preprocess resize) for the model s48" in said
    assert_equal_to_datasets_of_one(output, columns)
    assert counters(output)["rows_read"] == described(output)["counts"]["rows"]
    ways = [(one["size"], one["preprocess"]) for one in described(output)["models"]]
    assert ways == [(48, "resize"), (448, "remedis")]


def test_films_and_archives(models, tmp_path):
    films = tmp_path / "films"
    shutil.copytree(shared("data/xrays/kermany"), films)
    columns = {"embedding_holes_30": tmp_path / "holes-30", "embedding_two": tmp_path / "two"}
    some = ["--max_failed", "1"]
    for one in columns.values():
        assert main([*command("xrays", films, one, models / one.name), *some]) == 0
    output = tmp_path / "out"
    argv = command("xrays", films, output, models / "holes-30", models / "two")
    assert main([*argv, *some]) == 0
    assert_equal_to_datasets_of_one(output, columns)
    table = pq.read_table(output / "images.parquet").to_pylist()
    assert len({row["image_id"] for row in table}) == len(table)
    lacking = described(output)["counts"]["lacking_embedding_holes_30"]
    assert sum(row["status"] == "partial" for row in table) == lacking > 0


def test_images_with_cards_and_a_search_in_them(models, tmp_path, capsys):
    """Each model has its own card: one scales to -1..1, the other takes mean and std, as BGR."""
    folder, images = tmp_path / "models", tmp_path / "images"
    images.mkdir()
    draw = np.random.default_rng(3)
    for number in range(12):
        pixels = draw.integers(0, 256, (SIDE, SIDE, 3), np.uint8) // (1 + np.arange(3) * number % 5)
        Image.fromarray(pixels.astype(np.uint8)).save(images / f"{number}.png")
    cards = {
        "one": "input_range: -1..1\nlicense: of one\n",
        "two": "input_mean: [0.4, 0.5, 0.6]\ninput_std: [0.2, 0.3, 0.4]\nchannel_order: bgr\n",
    }
    for name, card in cards.items():
        shutil.copytree(models / name, folder / name)
        (folder / name / "beamscope.yaml").write_text(card)
    output = tmp_path / "out"
    assert main(command("images", images, output, folder / "one", folder / "two")) == 0
    assert "beamscope.yaml: of one" in capsys.readouterr().err
    rows = shards(output).to_pylist()
    assert len(rows) == 12
    for row in rows:
        pixels = np.asarray(Image.open(images / Path(row["member"]).name)) / 255
        mean = pixels.mean(axis=(0, 1))
        np.testing.assert_allclose(row["embedding_one"], mean * 2 - 1, atol=1e-4)
        bgr = (mean[::-1] - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.4]
        expected = bgr @ MODELS["two"].factors.numpy()
        np.testing.assert_allclose(row["embedding_two"], expected, atol=1e-3)
    said = {model["column"]: model for model in described(output)["models"]}
    assert said["embedding_one"]["card"] == str(folder / "one" / "beamscope.yaml")
    assert said["embedding_two"]["from_card"] == ["channel_order", "input_mean", "input_std"]

    like = ["search", str(output), "--like", rows[3]["image_id"], "--k", "4"]
    assert main(like) == 2
    error = capsys.readouterr().err
    assert "choose embedding= (--embedding) from embedding_one, embedding_two" in error
    assert error.count("\n") == 1
    hits = tmp_path / "hits"
    assert main([*like, "--embedding", "two", "--output", str(hits)]) == 0
    every = vectors(shards(output)["embedding_two"]).astype(np.float64)
    every /= np.linalg.norm(every, axis=1, keepdims=True)
    nearest = [place for place in np.argsort(-(every @ every[3])) if place != 3][:4]
    found = pq.read_table(hits / "hits.parquet").to_pylist()
    assert [hit["image_id"] for hit in found] == [rows[place]["image_id"] for place in nearest]
    # A file is prepared by the card of its model, which dataset.json has.
    like[3] = str(images / Path(rows[5]["member"]).name)
    of_file = [*like, "--embedding", "two", "--output", str(hits), "--model"]
    assert main([*of_file, str(folder / "two")]) == 0
    first = pq.read_table(hits / "hits.parquet").to_pylist()[0]
    assert first["image_id"] == rows[5]["image_id"]
    assert first["cosine"] == pytest.approx(1, abs=1e-5)
    capsys.readouterr()
    assert main([*of_file, str(folder / "one")]) == 2
    assert "is another model than that of the dataset, two with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("chosen", "more", "message"),
    [
        (["one", "x/one"], [], "would both have the column embedding_one; name them"),
        (["one", "ONE=two"], [], "would both have the column embedding_"),
        (["A=one", "B=one"], [], "are the same model; name it once"),
        (["one", "two"], ["--model_sha256", "0" * 64], "--model_sha256 must be given once for"),
        (["one", "large"], [], "takes images of 64 px and "),
        (["one", "nowhere"], [], "nowhere: there is no such file or directory"),
        (["one", "two"], ["--output_key", "k"], "--model "),
    ],
)
def test_what_is_typed_wrong_is_one_line(slides, models, tmp_path, capsys, chosen, more, message):
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    shutil.copytree(models / "two", folder / "x" / "one")

    class Large(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 96, 96, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    if "large" in chosen:
        tf.saved_model.save(Large(), str(folder / "large"))
    uris = [
        f"{name}{equals}{folder}/{path}"
        for name, equals, path in (
            one.partition("=") if "=" in one else ("", "", one) for one in chosen
        )
    ]
    assert embed(slides, tmp_path / "out", *uris, more=more) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def records(output):
    return {path: json.loads(path.read_text())["settings"]
            for path in output.glob(".beamscope/*/models/*.json")}  # fmt: skip


def test_each_model_is_assembled_as_its_own_card_says(slides, models, tmp_path, capsys):
    output = tmp_path / "out"
    chosen = []
    for name, card in (("one", "input_range: 0..1"), ("two", "input_range: -1..1")):
        chosen.append(shutil.copytree(models / name, tmp_path / name))
        (chosen[-1] / "beamscope.yaml").write_text(f"{card}\n")
    assert embed(slides, output, *chosen, more=["--only", "embed"]) == 0
    before = records(output)
    ranges = {one["uri"]: one["input_range"] for one in before.values()}
    assert ranges == dict(zip(map(str, chosen), ("0..1", "-1..1"), strict=True))
    for path in chosen:
        shutil.rmtree(path)
    argv = ["slides", "--input", str(slides), "--output", str(output), "--block_size", "16"]
    capsys.readouterr()
    assert main([*argv, "--input_range", "0..1", "--only", "assemble"]) == 2
    said = capsys.readouterr().err
    assert "--input_range 0..1: " in said
    assert "was embedded by two with -1..1; leave the flag out" in said
    assert main([*argv, "--only", "assemble"]) == 0
    assert records(output) == before
    said = {one["column"]: (one["input_range"], one["from_card"])
            for one in described(output)["models"]}  # fmt: skip
    assert said == {
        "embedding_one": ("0..1", ["input_range"]), "embedding_two": ("-1..1", ["input_range"]),
    }  # fmt: skip


def test_embedded_and_assembled_in_starts_of_their_own(slides, models, ones, tmp_path, capsys):
    output = tmp_path / "out"
    argv = command("slides", slides, output, models / "one", f"B={models}/two")
    argv += ["--block_size", "16"]
    assert main([*argv, "--only", "embed"]) == 0
    assert not (output / "dataset.json").exists()
    rows = described(ones / "one")["counts"]["rows"]
    said = capsys.readouterr().out
    assert f"{2 * rows:,} planned = {2 * rows:,} embedded or left out" in said
    assert "by 2 models together" in said
    assert main(["slides", "--input", str(slides), "--output", str(output), "--block_size", "16",
                 "--compile", "none", "--only", "assemble"]) == 0  # fmt: skip
    assert_equal_to_datasets_of_one(
        output, {"embedding_one": ones / "one", "embedding_B": ones / "two"}
    )
    assert main([*command("slides", slides, output, models / "one"), "--only", "assemble"]) == 2
    assert "--model: 1 models are given, and" in capsys.readouterr().err
