"""`beamscope doctor`: a line for each check, with a remedy where something is wrong."""

import json
import sys
import types

import openslide
import pytest
import tensorflow as tf

from beamscope.pipelines.main import main
from beamscope.transforms.checkup import machine
from beamscope.transforms.checkup.output import output_check
from tests.gcs import gcs_emulator
from tests.s3 import s3_server

NAMES = [
    "python",
    "packages",
    "gpus",
    "compilers",
    "onnx",
    "codecs",
    "openslide",
    "memory",
    "disk",
    "compiled",
]


def as_json(capsys, *arguments):
    capsys.readouterr()
    status = main(["doctor", *map(str, arguments), "--json"])
    return status, {one["name"]: one for one in json.loads(capsys.readouterr().out)}


def test_a_machine_that_runs_the_tests_is_well(tmp_path, capsys):
    class Mean(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32)])
        def __call__(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    tf.saved_model.save(Mean(), str(tmp_path / "mean"))
    status, checks = as_json(
        capsys, "--output", tmp_path / "new" / "out", "--model", tmp_path / "mean"
    )
    assert status == 0
    assert list(checks) == [*NAMES, "output", "model"]
    assert all(one["state"] != "failed" for one in checks.values()), checks
    assert f"tensorflow {tf.__version__}" in checks["packages"]["text"]
    assert openslide.__library_version__ in checks["openslide"]["text"]
    assert "32 x 32 px to 3 features" in checks["model"]["text"]
    # Nothing is left of the try.
    assert not (tmp_path / "new" / "out").exists()

    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("A job can run here.\n")
    assert [line.split()[1] for line in said.splitlines()[:-2]] == NAMES


def test_what_is_wrong_is_said_with_a_remedy(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "model").mkdir()
    status, checks = as_json(
        capsys, "--output", tmp_path / "file" / "out", "--model", tmp_path / "model"
    )
    assert status == 1
    for name in ("output", "model"):
        assert checks[name]["state"] == "failed"
        assert checks[name]["remedy"]
    assert main(["doctor", "--model", str(tmp_path / "none")]) == 1
    said = capsys.readouterr().out
    assert f"failed  model      model {tmp_path}/none: there is no such file" in said
    assert "1 of 11 checks failed" in said


def test_a_broken_package_fails_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    checks = {one.name: one for one in machine.machine_checks()}
    assert checks["packages"].state == "failed"
    assert checks["packages"].text.startswith("pydicom: ")
    assert checks["codecs"].state == "ok"


@pytest.mark.parametrize(("gigabytes", "state"), [(1, "failed"), (3, "note"), (16, "ok")])
def test_memory_of_a_container(gigabytes, state, tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    limit.write_text(f"{gigabytes * 10**9}\n")
    monkeypatch.setattr(machine, "_CONTAINER_LIMITS", (str(limit), str(tmp_path / "none")))
    assert machine.memory_check().state == state


@pytest.mark.parametrize(("gigabytes", "state"), [(0.5, "failed"), (5, "note"), (100, "ok")])
def test_disk(gigabytes, state, monkeypatch):
    usage = types.SimpleNamespace(free=gigabytes * 1e9)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    assert machine.disk_check().state == state


@pytest.mark.server
@pytest.mark.parametrize("server", [gcs_emulator, s3_server])
def test_an_output_in_a_bucket(server, tmp_path):
    with server(tmp_path) as bucket:
        assert output_check(f"{bucket}/out").state == "ok"


@pytest.mark.parametrize(
    ("absent", "state", "text", "remedy"),
    [
        ((), "ok", "OpenVINO", None),
        (("openvino",), "ok", "onnxruntime", None),
        (("onnxruntime",), "note", "alone: nothing checks its answers", "the extra onnx"),
        (("openvino", "onnxruntime"), "note", "nothing reads ONNX", "the extras cpu and onnx"),
    ],
)
def test_what_reads_onnx_models_is_named(absent, state, text, remedy, monkeypatch):
    for package in absent:
        monkeypatch.setattr(machine, f"{package}_is_installed", lambda: False)
    check = machine.onnx_check()
    assert check.state == state
    assert text in check.text
    assert ("openvino" in absent) != ("OpenVINO" in check.text)
    assert (remedy or "") in (check.remedy or "")
