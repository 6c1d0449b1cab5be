"""The files of an ONNX model, found without loading it."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from beamscope.transforms.inference import model_files
from beamscope.transforms.inference.model_files import local_model, model_digest
from beamscope.transforms.inference.onnx_files import onnx_file, read_onnx
from beamscope.transforms.problems import InputError
from beamscope.transforms.storage import files
from tests.gcs import gcs_emulator
from tests.inference.onnx_models import cnn, dropout, vit
from tests.s3 import s3_server


def test_what_is_found_is_what_the_onnx_package_finds(tmp_path):
    path = Path(vit(tmp_path / "vit.onnx", external=True))
    found = read_onnx(path)
    model = onnx.load(str(path), load_external_data=False)
    assert found.operations == {node.op_type for node in model.graph.node}
    assert found.data_files == ("vit.onnx.data",)
    wanted = {
        (
            tensor.name,
            *((pair.key, pair.value) for pair in tensor.external_data if pair.key != "checksum"),
        )
        for tensor in model.graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL
    }
    seen = {
        (
            tensor.name,
            ("location", tensor.location),
            ("offset", str(tensor.offset)),
            ("length", str(tensor.length)),
        )
        for tensor in found.external
    }
    assert seen == wanted
    assert len(wanted) > 10


def test_operations_in_branches_and_functions_are_found(tmp_path):
    inner = helper.make_graph(
        [helper.make_node("RandomNormal", [], ["r"], shape=[1])],
        "then",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, [1])],
    )
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    function = helper.make_function(
        "here",
        "F",
        ["x"],
        ["y"],
        [helper.make_node("Bernoulli", ["x"], ["y"])],
        [helper.make_opsetid("", 17)],
    )
    graph = helper.make_graph(
        [branch],
        "g",
        [helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    path = tmp_path / "m.onnx"
    onnx.save_model(helper.make_model(graph, functions=[function]), str(path))
    assert read_onnx(path).operations == {"If", "RandomNormal", "Bernoulli"}
    assert read_onnx(path).external == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"<!doctype html><html></html>", "is a web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "is damaged, or no ONNX model"),
        (b"\x08\x09", r"is damaged, or no ONNX model \(no graph\)"),
        (b"\x80" * 40, "is damaged, or no ONNX model"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as raised:
        read_onnx(path)
    assert raised.value.kind == "bad_model"
    assert str(raised.value.message).startswith("model m.onnx: ")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(tmp_path, share):
    path = Path(cnn(tmp_path / "m.onnx"))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError, match="is damaged, or no ONNX model"):
        read_onnx(path)


@pytest.mark.parametrize("location", ["../weights", "/etc/passwd", "a/../../w", "..\\w", "C:w", ""])
def test_external_data_outside_of_the_directory_is_refused(tmp_path, location):
    path = Path(cnn(tmp_path / "m.onnx", external=True))
    model = onnx.load(str(path), load_external_data=False)
    for pair in model.graph.initializer[0].external_data:
        if pair.key == "location":
            pair.value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"outside of its directory|without a location"):
        read_onnx(path)


def test_external_data_that_lacks_bytes_is_refused(tmp_path):
    path = Path(cnn(tmp_path / "m.onnx", external=True))
    read_onnx(path).check_data()
    data = tmp_path / "m.onnx.data"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"its external data m\.onnx\.data is cut off: it has"):
        read_onnx(path).check_data()
    data.unlink()
    with pytest.raises(InputError, match=r"its external data m\.onnx\.data is not beside it"):
        model_digest(path)


def test_the_only_file_of_a_directory_is_the_model(tmp_path):
    path = Path(dropout(tmp_path / "m.onnx"))
    assert onnx_file(path) == onnx_file(tmp_path) == path
    (tmp_path / ".hidden.onnx").write_bytes(b"")
    assert onnx_file(tmp_path) == path
    shutil.copy(path, tmp_path / "other.ONNX")
    assert onnx_file(tmp_path) is None
    (tmp_path / "other.ONNX").unlink()
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert onnx_file(tmp_path) is None


def test_the_digest_is_that_of_sha256sum_over_the_model_and_its_data(tmp_path):
    path = Path(cnn(tmp_path / "m.onnx", external=True))
    (tmp_path / "README.md").write_text("nothing of the model")
    names = ["m.onnx", "m.onnx.data"]
    listing = subprocess.run(["sha256sum", *names], cwd=tmp_path, capture_output=True, check=True)
    wanted = hashlib.sha256(listing.stdout).hexdigest()
    assert model_digest(path) == model_digest(tmp_path) == wanted
    (tmp_path / "README.md").unlink()
    assert model_digest(tmp_path) == wanted
    data = tmp_path / "m.onnx.data"
    data.write_bytes(data.read_bytes()[:-1] + b"\x55")
    assert model_digest(path) != wanted


def test_the_digest_of_a_file_without_external_data_is_that_of_its_content(tmp_path):
    path = Path(cnn(tmp_path / "m.onnx"))
    wanted = hashlib.sha256(path.read_bytes()).hexdigest()
    assert model_digest(path) == model_digest(tmp_path) == wanted


@pytest.mark.server
@pytest.mark.parametrize("server", [gcs_emulator, s3_server])
def test_external_data_comes_along_from_a_store(tmp_path, monkeypatch, server):
    path = Path(cnn(tmp_path / "m.onnx", external=True))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(model_files, "_leases", {})
    (tmp_path / "store").mkdir()
    with server(tmp_path / "store") as bucket:
        files.write_bytes(f"{bucket}/models/m.onnx", path.read_bytes())
        with pytest.raises(InputError, match=r"its external data m\.onnx\.data is not beside it"):
            local_model(f"{bucket}/models/m.onnx")
        data = (tmp_path / "m.onnx.data").read_bytes()
        files.write_bytes(f"{bucket}/models/m.onnx.data", data)
        files.write_bytes(f"{bucket}/models/other.bin", b"nothing of the model")
        copy = local_model(f"{bucket}/models/m.onnx")
        assert {file.name for file in copy.parent.iterdir()} == {"m.onnx", "m.onnx.data"}
        assert model_digest(copy) == model_digest(path)
