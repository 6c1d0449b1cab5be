"""Starts that only embed or only assemble: together they are the plain command."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide


class MeanColour(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 64, 64, 3], tf.float32)])
    def __call__(self, images):
        return tf.reduce_mean(images, axis=[1, 2])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "mean-colour"
    tf.saved_model.save(MeanColour(), str(path))
    return path


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Two good slides and a broken one."""
    folder = tmp_path_factory.mktemp("slides")
    for name, seed in (("a", 1), ("b", 2)):
        spec = SampleSlide(width=1200, height=1000, mpp=0.5, seed=seed)
        write_sample_slide(folder / f"{name}.svs", spec)
    (folder / "broken.svs").write_text("<html>404 Not Found</html>")
    return folder


@pytest.fixture(scope="module")
def plain(slides, model, tmp_path_factory):
    """The output of the plain command."""
    output = tmp_path_factory.mktemp("plain") / "out"
    job(slides, output, "--model", model)
    return output


def job(slides, output, *more):
    arguments = ["--input", slides, "--output", output, "--max_failed", 0.5, *more]
    return main(["slides", *map(str, arguments)])


def parts_of(output):
    found = (output / ".beamscope").glob("*/parts/**/*.arrow")
    return {path.relative_to(output): path.stat().st_mtime_ns for path in found}


def assert_same(output, plain):
    """Assert that two outputs hold the same dataset, byte for byte."""
    names = {"slides.parquet", "problems.parquet", *shards(plain)}
    assert shards(output) == shards(plain)
    for name in names:
        one, other = pq.read_table(output / name), pq.read_table(plain / name)
        assert one.equals(other, check_metadata=True), name
    one, other = (json.loads((root / "dataset.json").read_text()) for root in (output, plain))
    for key in ("counts", "model", "options", "fingerprint", "request", "schema", "shards"):
        assert one[key] == other[key], key


def shards(output):
    return {str(path.relative_to(output)) for path in output.glob("embeddings/*.parquet")}


def test_planned_then_embedded_then_assembled_is_the_plain_command(
    slides, model, plain, tmp_path, capsys
):
    output = tmp_path / "out"
    assert main([
        "plan", "slides", "--input", str(slides), "--output", str(output), "--input_size", "64",
        "--page_slides", "0",
    ]) == 0  # fmt: skip
    moved = tmp_path / "model" / "mean-colour"
    shutil.copytree(model, moved)
    capsys.readouterr()
    assert job(slides, output, "--model", moved, "--only", "embed", "--verbose") == 0
    printed = capsys.readouterr().out
    # The broken slide is tried again, as by every start.
    assert "slides_planned 1\n" in printed
    assert "slides_planned_before 2\n" in printed
    assert "3, of which 1 failed" in printed
    assert "--only assemble" in printed
    assert not (output / "dataset.json").exists()
    before = parts_of(output)
    assert before

    shutil.rmtree(moved)  # Nobody can load it now.
    assert job(slides, output, "--only", "assemble") == 0
    assert parts_of(output) == before
    assert_same(output, plain)


def test_what_is_missing_is_counted_and_the_plain_command_does_it(
    slides, model, plain, tmp_path, capsys
):
    output = tmp_path / "out"
    assert job(slides, output, "--model", model, "--only", "embed") == 0
    lost, *kept = sorted(parts_of(output))
    (output / lost).unlink()
    times = parts_of(output)
    assert job(slides, output, "--only", "assemble") == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--only assemble: blocks that are not embedded: 1; finish by: beamscope slides" in said
    assert said.endswith(f"--model {model}")
    assert not (output / "dataset.json").exists()
    assert job(slides, output, "--model", model) == 0
    now = parts_of(output)
    assert {path: now[path] for path in kept} == times
    assert lost in now
    assert_same(output, plain)


def test_an_added_slide_is_missing_until_it_is_embedded(slides, model, tmp_path, capsys):
    output = tmp_path / "out"
    job(slides / "a.svs", output, "--model", model)
    assert job(slides, output, "--only", "assemble") == 1
    assert "--only assemble: slides without a plan: 2; finish by" in capsys.readouterr().err
    # What was complete before still is.
    assert json.loads((output / "dataset.json").read_text())["counts"]["slides"] == {"done": 1}


def test_nothing_is_embedded_twice_and_failed_slides_give_status_3(slides, model, tmp_path, capsys):
    output, flags = tmp_path / "out", ["--model", model, "--only", "embed", "--max_failed", 0.1]
    assert job(slides, output, *flags) == 3
    assert "33% of the slides failed, more than --max_failed 0.1" in capsys.readouterr().out
    before = parts_of(output)
    assert job(slides, output, *flags, "--verbose") == 3
    assert "\n  blocks_embedded " not in capsys.readouterr().out
    assert parts_of(output) == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--input_range=-1..1"], "--input_range -1..1: "),
        (["--precision", "bfloat16"], "--precision bfloat16: "),
        (["--model_sha256", "0" * 64], "--model_sha256: is another model than the one that has"),
        (["--model", "NOWHERE"], "--model NOWHERE: there is no such file"),
        (["--overwrite"], "--overwrite: deletes what --only assemble would assemble"),
        (["--mpp", "1.0"], "was begun with other settings: "),
    ],
)
def test_assembling_what_was_not_embedded_is_one_line(
    slides, plain, tmp_path, capsys, more, message
):
    output = tmp_path / "out"
    shutil.copytree(plain, output)
    assert job(slides, output, "--only", "assemble", *more) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert_same(output, plain)


def test_another_model_is_refused(slides, model, plain, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(model, other)
    (other / "assets").mkdir(exist_ok=True)
    (other / "assets" / "more.txt").write_text("another")
    assert job(slides, plain, "--model", other, "--only", "assemble") == 2
    assert f"--model {other}: is another model" in capsys.readouterr().err


def test_nothing_is_assembled_of_nothing(slides, tmp_path, capsys):
    assert job(slides, tmp_path / "out", "--only", "assemble") == 2
    assert "nothing is embedded there that could be assembled" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_only_what_assembles_needs_no_model(slides, tmp_path, capsys):
    assert job(slides, tmp_path / "out", "--only", "embed") == 2
    assert "the following arguments are required: --model" in capsys.readouterr().err


def test_a_sample_in_total_is_written_in_two_steps(slides, tmp_path):
    def patches(output, *more):
        arguments = ["--input", slides, "--patch_size", 64, "--sample_total", 20]
        arguments += ["--max_failed", 0.5, "--output", output, *more]
        return main(["patches", *map(str, arguments)])

    assert patches(tmp_path / "plain") == 0
    for only in ("embed", "assemble"):
        assert patches(tmp_path / "out", "--only", only) == 0
    for path in sorted((tmp_path / "plain").glob("**/*.parquet")):
        other = tmp_path / "out" / path.relative_to(tmp_path / "plain")
        assert pq.read_table(path).equals(pq.read_table(other))


@pytest.mark.parametrize(
    ("only", "words"),
    [("embed", "write no dataset (--only embed)"), ("assemble", "if every planned block is there")],
)
def test_a_dry_run_says_what_is_left_out(slides, model, plain, capsys, only, words):
    assert job(slides, plain, "--model", model, "--only", only, "--dry_run") == 0
    assert words in capsys.readouterr().out
