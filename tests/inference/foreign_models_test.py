"""What is no model yet is refused in one line that says what to do, by name alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.inference.foreign_models import (
    address_remedy,
    file_remedy,
    missing_remedy,
)

FILES = [
    ("m.zip", "unpack it, and give the directory that has saved_model.pb"),
    ("m.tar", "unpack it"),
    ("m.tar.gz", "unpack it"),
    ("m.tgz", "unpack it"),
    ("M.TAR.GZ", "unpack it"),
    ("m.h5", "export it by model.export(DIR), and give DIR"),
    ("m.hdf5", "model.export(DIR)"),
    ("m.keras", "model.export(DIR)"),
    ("m.weights.h5", "call model.load_weights(FILE) and model.export(DIR)"),
    ("m.tflite", "as a SavedModel or to ONNX"),
    ("m.pt", "export it to ONNX"),
    ("m.pth", "export it to ONNX"),
    ("m.safetensors", "export it to ONNX"),
    ("pytorch_model.bin", "export it to ONNX"),
    ("m.ckpt", "build the model in Python, load the weights and export it"),
    ("m.ckpt-1000.index", "build the model in Python"),
    ("m.ckpt.data-00000-of-00001", "build the model in Python"),
    ("saved_model.pb", "give the directory that it lies in"),
    ("frozen.pb", "save it by tf.saved_model.save, and give the directory"),
    ("m.mlpackage", "as a SavedModel or to ONNX"),
    ("m.engine", "as a SavedModel or to ONNX"),
    ("BiT-M-R50x1.npz", "beamscope make-model --weights FILE"),
    ("m.pkl", "export the model"),
    ("openvino_model.xml", "as a SavedModel or to ONNX"),
    ("m.bin", "as a SavedModel or to ONNX"),
    ("m.gguf", "as a SavedModel or to ONNX"),
]
ADDRESSES = [
    ("https://tfhub.dev/google/imagenet/resnet_v2_50/feature_vector/5", "download the model first"),
    ("https://www.kaggle.com/models/google/path-foundation", "download the model first"),
    ("https://huggingface.co/MahmoodLab/UNI", "export it to ONNX"),
    ("hf://owner/name", "export it to ONNX"),
    ("hf-hub:owner/name", "export it to ONNX"),
    ("hf_hub:owner/name", "export it to ONNX"),
    ("https://example.org/model.zip", "is an address of the web: download the model first"),
]


@pytest.mark.parametrize(("name", "remedy"), FILES)
def test_file_remedy(name: str, remedy: str) -> None:
    for uri in (name, f"/somewhere/{name}", f"gs://bucket/models/{name}/"):
        assert remedy in (file_remedy(uri) or "")


@pytest.mark.parametrize(
    "name", ["m", "m.onnx", "m.json", "resnet.v2", "keras", "h5", "my.zipped", "gs://b/m.zip/1"]
)
def test_what_may_be_a_model_has_no_remedy(name: str) -> None:
    assert file_remedy(name) is None
    assert address_remedy(name) is None


def test_missing_remedy() -> None:
    assert "not looked up" in missing_remedy("timm/vit_base")
    assert "use $HOME" in missing_remedy("~/models/m")
    assert "only letters, digits and _" in missing_remedy("my-model=/somewhere/m")
    assert missing_remedy("/somewhere/timm/vit") == missing_remedy("model") == ""


def refused(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    assert main(command) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize(("name", "remedy"), FILES)
def test_check_model_refuses_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, remedy: str
) -> None:
    path = tmp_path / name
    path.mkdir() if name.endswith(".mlpackage") else path.touch()
    said = refused(capsys, ["check-model", str(path)])
    assert said.startswith(f"beamscope check-model: model {path}: ")
    assert remedy in said


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        *ADDRESSES,
        # Nothing is fetched: there is no such bucket.
        ("gs://no-such-bucket/m.zip", "unpack it"),
        ("s3://no-such-bucket/m.tar.gz", "unpack it"),
        ("gs://no-such-bucket/m.h5", "model.export(DIR)"),
        ("s3://no-such-bucket/m.pt", "export it to ONNX"),
        ("timm/vit_base_patch16_224", "no such file or directory; a name of a hub"),
    ],
)
def test_check_model_refuses_addresses(
    capsys: pytest.CaptureFixture[str], place: str, remedy: str
) -> None:
    said = refused(capsys, ["check-model", place])
    assert said.startswith(f"beamscope check-model: model {place}: ")
    assert remedy in said


@pytest.mark.parametrize("place", ["hf-hub:owner/name", "gs://no-such-bucket/m.zip"])
def test_a_job_names_the_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    command = ["slides", "--input", str(tmp_path / "*.svs"), "--output", str(tmp_path / "out")]
    said = refused(capsys, [*command, "--model", place])
    assert f"--model {place}: is an" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/saved_model.pb", "b/saved_model.pb"], "a directory with 2 models in directories below "
         "(a, b): give one of these, such as {path}/a"),
        (["a/saved_model.pb", "2/saved_model.pb"], "with 2 models in directories below (2, a)"),
        (["model/saved_model.pb"], "with a model in directories below (model)"),
        (["config.json", "model.safetensors"], "holds model.safetensors, which holds weights"),
        (["notes.txt"], "the directory holds no saved_model.pb"),
    ],
)  # fmt: skip
def test_check_model_refuses_directories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], said: str
) -> None:
    path = tmp_path / "served"
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    assert said.format(path=path) in refused(capsys, ["check-model", str(path)])
