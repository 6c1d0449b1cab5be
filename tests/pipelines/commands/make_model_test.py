import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from beamscope.pipelines.main import main
from beamscope.transforms.inference.bit.network import BitResNet
from beamscope.transforms.inference.bit.weights import random_weights
from beamscope.transforms.inference.cards.apply import with_card_of
from beamscope.transforms.inference.cards.find_card import card_beside
from beamscope.transforms.inference.find_model import open_model
from beamscope.transforms.inference.model_settings import ModelSettings

WANTED = ["--architecture=50x1", "--modality=path"]


def features(directory, image):
    return tf.saved_model.load(str(directory))(image[None]).numpy()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(2).random((224, 224, 3), np.float32)


def test_random_model(tmp_path, capsys, image):
    output = tmp_path / "path-50x1"

    status = main(
        ["make-model", *WANTED, "--output", str(output), "--seed=4", "--signature=serving_default"]
    )

    out = capsys.readouterr().out
    assert status == 0
    assert str(output) in out
    assert "23,500,352 parameters" in out
    card = card_beside(str(output))
    assert (card.input_size, card.input_range, card.features) == (224, "0..1", 2048)
    assert "random" in out
    expected = BitResNet("50x1", random_weights("50x1", 4))(image[None])
    np.testing.assert_allclose(features(output, image), expected, atol=1e-4)
    assert list(tf.saved_model.load(str(output)).signatures) == ["serving_default"]


def test_model_from_a_file(tmp_path, capsys, image):
    weights = random_weights("50x1", 5)
    np.savez(tmp_path / "official.npz", **weights)
    output = tmp_path / "path-50x1-remedis-m"

    status = main(
        ["make-model", *WANTED, f"--output={output}", f"--weights={tmp_path / 'official.npz'}"]
    )

    assert status == 0
    assert "random" not in capsys.readouterr().out
    # Its name is one of REMEDIS, of 0..1; the card counts.
    settings = with_card_of(ModelSettings(str(output)))
    spec = open_model(settings).spec
    assert (spec.input_range, spec.input_size, spec.features) == ("-1..1", 224, 2048)
    assert "input_range -1..1 of the card counts, not 0..1 by REMEDIS name" in settings.card_notes
    expected = BitResNet("50x1", weights)(image[None])
    np.testing.assert_allclose(features(output, image), expected, atol=1e-4)
    assert not tf.saved_model.load(str(output)).signatures


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--output=full"], "full exists"),
        (["--output=gs://bucket/model"], "gs://bucket/model: must be a path on this machine"),
        (["--output=new", "--weights=absent.npz"], "absent.npz"),
        (["--output=new", "--signature=a b"], "'a b'"),
    ],
)
def test_run_errors(tmp_path, monkeypatch, capsys, flags, value):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("kept")

    assert main(["make-model", *WANTED, *flags]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert value in captured.err
    assert captured.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize(
    ("argv", "value"),
    [
        (WANTED, "--output"),
        (["--architecture=18x1", "--modality=path", "--output=new"], "'18x1'"),
        (["--architecture=50x1", "--modality=ct", "--output=new"], "'ct'"),
        ([*WANTED, "--output=new", "--seed=-1"], "'-1'"),
        ([*WANTED, "--output=new", "--seed=1.5"], "'1.5'"),
        ([*WANTED, "--output=new", "--seed=1", "--weights=w.npz"], "not allowed with"),
        ([*WANTED, "--output=new", "--unknown"], "--unknown"),
    ],
)
def test_usage_errors(tmp_path, monkeypatch, capsys, argv, value):
    monkeypatch.chdir(tmp_path)

    assert main(["make-model", *argv]) == 2
    assert value in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_tensorflow():
    code = (
        "import atexit, sys; from beamscope.pipelines.main import main\n"
        "atexit.register(lambda: print('tensorflow' in sys.modules))\n"
        "main(['make-model', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.endswith("False\n")
    assert "default: 0" in done.stdout
