"""`--dry_run` checks everything, says what the job would do, and writes nothing."""

import shutil

import pytest
import tensorflow as tf

from beamscope.pipelines.main import main
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.xrays.sample import write_sample_archive


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    class MeanColour(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 64, 64, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    path = tmp_path_factory.mktemp("model") / "mean-colour"
    tf.saved_model.save(MeanColour(), str(path))
    return path


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    for name in "ab":
        write_sample_slide(folder / f"{name}.svs", SampleSlide(width=1200, height=1000, mpp=0.5))
    return folder


def files_below(folder):
    """Every file with its content: what nothing may change."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def dry(capsys, *arguments, status=0):
    capsys.readouterr()
    assert main([*map(str, arguments), "--dry_run"]) == status
    said = capsys.readouterr()
    return said.err if status else said.out


def test_each_state_of_an_output(slides, model, tmp_path, capsys):
    output = tmp_path / "out"
    command = ["slides", "--input", slides / "a.svs", "--model", model, "--output", output,
               "--block_size", 8]  # fmt: skip
    said = dry(capsys, *command)
    assert "plan 1 slide, and embed the patches found there" in said
    assert "patch_px 64" in said
    assert "mean-colour: float32 images of 64 x 64 px, 0..1 (assumed), to 3 features" in said
    assert f"write parquet with float32 embeddings to {output}" in said
    assert not output.exists()

    assert main(list(map(str, command))) == 0
    before = files_below(output)
    assert f"do nothing: the dataset in {output} is complete" in dry(capsys, *command)
    assert files_below(output) == before

    # A second slide, and three of the finished blocks of the first one are gone.
    parts = sorted(output.glob(".beamscope/*/parts/a/*/*.arrow"))
    planned = [int(part.stem.split("-")[1]) for part in parts]
    for part in parts[:3]:
        part.unlink()
    before = files_below(output)
    more = [*command[:2], slides, *command[3:]]
    said = dry(capsys, *more)
    left, done = sum(planned[:3]), sum(planned[3:])
    assert f"embed {left} patches of the 1 slide that an earlier start planned; {done} are" in said
    assert "plan 1 slide, and embed the patches found there" in said
    assert files_below(output) == before

    said = dry(capsys, *more, "--overwrite")
    assert f"1 shard and {len(planned) - 3} finished blocks in {output}" in said
    assert files_below(output) == before


def test_what_the_job_refuses_a_dry_run_refuses(slides, model, tmp_path, capsys):
    output = tmp_path / "out"
    command = ["slides", "--input", slides / "a.svs", "--model", model, "--output", output]
    assert main(list(map(str, command))) == 0
    before = files_below(output)
    refused = {
        "was begun with other settings": ["--mpp", 1],
        "unknown flag; did you mean --patch_size?": ["--tile_size", 64],
        "--min_tissue must be between 0 and 1, got 2": ["--min_tissue", 2],
        "there is no such file": ["--model", tmp_path / "none"],
    }
    for message, flags in refused.items():
        error = dry(capsys, *command, *flags, status=2)
        assert message in error
        assert error.count("\n") == 1
    shutil.rmtree(output / ".beamscope")
    before = files_below(output)
    assert "holds embeddings of a run that cannot be" in dry(capsys, *command, status=2)
    assert files_below(output) == before


def test_films(model, tmp_path, capsys):
    write_sample_archive(tmp_path / "a.zip", "zip", 12)
    output = tmp_path / "out"
    command = ["xrays", "--input", tmp_path / "a.zip", "--model", model, "--output", output]
    said = dry(capsys, *command)
    assert "plan 1 source, and embed the films found there" in said
    assert not output.exists()
