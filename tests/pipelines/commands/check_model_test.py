import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.inference.model_files import model_digest
from tests.inference import models
from tests.shared_data import shared

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the rates that are measured here out of the cache of whoever runs the tests."""
    monkeypatch.setenv("BEAMSCOPE_CACHE", str(tmp_path / "cache"))


def test_check_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = models.save(tmp_path / "mymodel", models.several)
    assert main(["check-model", uri, "--output_key", "embedding", "--batch_size", "4"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    values = dict(line.split(maxsplit=1) for line in printed.out.splitlines())
    assert values["model"] == "mymodel"
    assert values["digest"] == model_digest(Path(uri))
    assert values["called"] == "object, input images"
    assert values["input"] == "float32 RGB 16x16, channels last (size from: model)"
    assert values["range"] == "0..1 (from: assumed)"
    assert values["output"] == "embedding: 5"
    assert values["features"] == "5"
    assert values["precision"] == "float32"
    assert values["compile"] == "openvino, variables frozen"
    assert values["cosine"].startswith("1.000000")
    assert "plain" in values["speed"]
    assert "compiled" in values["speed"]
    columns = {
        len(line) - len(line.split(maxsplit=1)[1])
        for line in printed.out.splitlines()
        if not line.startswith("batch size")
    }
    assert len(columns) == 1


def test_a_layout_that_changes_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = models.save(tmp_path / "mymodel", models.several)
    flags = ["--output_key", "embedding", "--compile", "none", "--output_layout", "channels_first"]
    assert main(["check-model", uri, *flags]) == 0
    note = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("note"))
    assert note.endswith(
        "output_layout channels_first is not used: the model answers an image with one vector"
    )


@pytest.mark.parametrize(
    ("answer", "options", "compiled"),
    [
        (models.feature_map, ["--compile", "graph"], ("graph", "variables frozen")),
        (models.feature_map, ["--compile", "xla"], ("xla", "variables frozen")),
        (models.feature_map, ["--compile", "none"], ("none", "")),
        (models.through_strings, ["--compile", "xla"], ("none", "")),
    ],
)
def test_check_model_json(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answer: object,
    options: list[str],
    compiled: tuple[str, str],
) -> None:
    uri = models.save(tmp_path / "m", answer, spec=models.ANY_SIZE)
    arguments = ["--json", "--batch_size", "4", "--input_size", "16", "--input_range=-1..1"]
    assert main(["check-model", uri, *arguments, *options]) == 0
    spec = json.loads(capsys.readouterr().out)
    assert (spec["compile"], spec["detail"]) == compiled
    assert (spec["fallback"] is None) == (answer is not models.through_strings)
    assert (spec["input_range"], spec["range_source"]) == ("-1..1", "option")
    assert spec["features"] == np.prod(spec["output_shape"][-1:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "any size, so --input_size must say which"),
        (["--input_size", "16", "--signature", "x"], "no signature 'x'"),
        (["--input_size", "0"], "--input_size must be at least 1, got 0"),
        (["--input_size", "16", "--precision", "float16"], "float16: TensorFlow sees no GPU"),
        (["--precision", "float16", "--compile", "none"], "float16: not with --compile none"),
    ],
)
def test_check_model_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    uri = models.save(tmp_path / "m", models.vectors, spec=models.ANY_SIZE)
    assert main(["check-model", uri, *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.startswith("beamscope check-model: ")
    assert printed.err.count("\n") == 1


def check_model(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own, as a user does, with no levels set."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    command = [sys.executable, "-m", "beamscope", "check-model", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_check_model_prints_nothing_else() -> None:
    done = check_model(str(shared("models/squeezenet11-imagenet")), "--batch_size", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["features"] == 512


def test_help_does_not_import_tensorflow() -> None:
    code = (
        "import sys; from beamscope.pipelines.main import main\n"
        "try: main(['check-model', '--help'])\n"
        "except SystemExit: print('tensorflow' in sys.modules, 'apache_beam' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False False"
    assert "--input_range" in done.stdout
