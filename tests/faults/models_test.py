"""Models that are changed, pinned, or fail on some images, in whole jobs."""

import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from beamscope.pipelines.jobs import run_job
from beamscope.pipelines.main import main
from tests.faults.job_test import command, embedded, make_folders, registered

__all__ = ["registered"]


def digest(tmp_path):
    return hashlib.sha256((tmp_path / "model.brightness").read_bytes()).hexdigest()


@pytest.mark.usefixtures("registered")
def test_another_model_at_the_same_path_is_refused(tmp_path, capsys):
    make_folders(tmp_path, {"a": ["0", "1", "2"]})
    assert main(command(tmp_path)) == 0
    # As after a kill: the dataset is not complete.
    (tmp_path / "out" / "dataset.json").unlink()
    before = digest(tmp_path)
    (tmp_path / "model.brightness").write_text("another model")
    capsys.readouterr()
    assert main(command(tmp_path)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"was begun with other settings: model_digest was '{before}' and is now" in said
    (tmp_path / "model.brightness").write_text("a model")
    assert main(command(tmp_path)) == 0


@pytest.mark.usefixtures("registered")
def test_a_pinned_model(tmp_path, capsys):
    make_folders(tmp_path, {"a": ["0", "1", "2"]})
    assert main(command(tmp_path, "--model_sha256", "0" * 64)) == 2
    said = capsys.readouterr().err
    assert f"its SHA-256 is {digest(tmp_path)}, and {'0' * 64} is expected" in said
    assert not (tmp_path / "out").exists()
    assert main(command(tmp_path, "--model_sha256", digest(tmp_path))) == 0


@pytest.mark.usefixtures("registered")
def test_a_model_that_is_changed_while_the_job_begins(tmp_path, monkeypatch, capsys):
    make_folders(tmp_path, {"a": ["0", "1", "2"]})
    claim = run_job.claim_output

    def change(*args, **kwargs):
        claim(*args, **kwargs)
        (tmp_path / "model.brightness").write_text("another model")

    with monkeypatch.context() as patched:
        patched.setattr(run_job, "claim_output", change)
        assert main(command(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "is expected: the model was changed, or is another one" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("out/.beamscope/*/parts/*/*/*.arrow"))
    (tmp_path / "model.brightness").write_text("a model")
    assert main(command(tmp_path)) == 0


class Picky(tf.Module):
    """The mean colour; no bright picture, and not a number for dark ones."""

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
    def __call__(self, images):
        means = tf.reduce_mean(images, axis=[1, 2])
        with tf.control_dependencies([tf.debugging.assert_less(means, 0.95)]):
            return tf.where(means < 0.1, means * float("nan"), means)


@pytest.mark.slow
@pytest.mark.usefixtures("registered")
def test_a_saved_model_that_fails_on_some_images(tmp_path):
    make_folders(tmp_path, {
        "bright": ["250", "100"], "dark": ["0", "101"], "good": ["102", "103", "104"],
    })  # fmt: skip
    tf.saved_model.save(Picky(), str(tmp_path / "picky"))
    argv = command(tmp_path, "--max_failed", "1", "--batch_size", "2")
    argv[argv.index("--model") + 1] = str(tmp_path / "picky")
    assert main(argv) == 0
    rows = pq.read_table(tmp_path / "out" / "problems.parquet").to_pylist()
    found = sorted((row["item_id"], row["stage"], row["kind"]) for row in rows)
    # What raises costs its block of two; a row that is not a number, itself.
    assert found == [("bright", "embed", "defect")] * 2 + [("dark", "embed", "non_finite")]
    assert embedded(tmp_path) == {
        ("dark", "101.png"), *(("good", f"{n}.png") for n in (102, 103, 104))
    }  # fmt: skip
    for shard in (tmp_path / "out").rglob("embeddings/*.parquet"):
        values = pq.read_table(shard)["embedding"].combine_chunks().flatten().to_numpy()
        assert np.isfinite(values).all()
