"""A path that no storage has is one line that names the flag, and file:// is a local path."""

import os

import pytest

from beamscope.pipelines.main import main
from beamscope.transforms.slides.requests import read_manifest

SLIDES = ["slides", "--input", "a.svs", "--model", "m", "--output", "out"]
XRAYS = ["xrays", "--input", "a.zip", "--model", "m", "--output", "out"]


def with_flag(command, flag, *values):
    """A command line in which one flag has other values."""
    if flag in command:
        place = command.index(flag) + 1
        return [*command[:place], *values, *command[place + 1 :]]
    return [*command, flag, *values]


CASES = [
    *((with_flag(SLIDES, flag, "URI"), flag) for flag in
      ("--input", "--model", "--output", "--masks")),
    (["slides", "--manifest", "URI", "--model", "m", "--output", "out"], "--manifest"),
    (with_flag(SLIDES, "--input", "a.svs", "URI"), "--input"),
    *((with_flag(XRAYS, flag, "URI"), flag) for flag in ("--input", "--model", "--output")),
    ([*XRAYS, "--catalog", "nih", "--catalog_file", "URI"], "--catalog_file"),
    (["status", "URI"], "output"),
    (["check-model", "URI"], "model"),
    (["make-slide", "--output", "URI"], "--output"),
    (["make-model", "--architecture", "50x1", "--modality", "path", "--output", "URI"], "--output"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "flag"), CASES, ids=lambda case: str(case)[:40])
@pytest.mark.parametrize(
    "uri", ["https://example.org/m.tiff", "az://container/a", "gcs://b/a", "s3:/b/a", "gs://"]
)
def test_unknown_scheme_errors(command, flag, uri, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([uri if word == "URI" else word for word in command]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{flag} {uri}: " in said
    is_model_in_the_web = flag.endswith("model") and uri.startswith("https:")
    remedy = (
        "download the model first" if is_model_in_the_web else "there are local paths, file:///"
    )
    assert remedy in said
    assert not os.listdir(tmp_path)  # noqa: PTH208


@pytest.mark.parametrize(("command", "flag"), CASES, ids=lambda case: str(case)[:40])
def test_a_flag_without_a_value_errors(command, flag, capsys):
    assert main(["" if word == "URI" else word for word in command]) == 2
    assert f"{flag}: is empty: has a variable of the shell no value?" in capsys.readouterr().err


@pytest.mark.parametrize("uri", ["gs://bucket/cache", "s3://bucket/cache"])
@pytest.mark.parametrize(
    ("command", "flag"),
    [(SLIDES, "--cache_dir"), (["make-slide"], "--output"), (["make-model"], "--output")],
)
def test_what_must_be_local_errors(command, flag, uri, capsys):
    assert main(with_flag(command, flag, uri)) == 2
    assert f"{flag} {uri}: must be a path on this machine" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["uri", "mask"])
def test_a_cell_of_a_manifest_errors(column, tmp_path, capsys):
    cells = {"slide_id": "s", "uri": "a.svs", "mask": "", column: "https://example.org/m.tiff"}
    path = tmp_path / "man.csv"
    path.write_text("slide_id,uri,mask\nother,b.svs,\n" + ",".join(cells.values()) + "\n")
    assert main(["slides", "--manifest", str(path), "--model", "m", "--output", "out"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"--manifest {path}, line 3: https://example.org/m.tiff: there is no storage" in said


def test_a_file_uri_in_a_manifest_is_a_local_path(tmp_path):
    (tmp_path / "man.csv").write_text(
        f"slide_id,uri,mask\na,file://{tmp_path}/a%20b.svs,file:///masks/a.png\n"
    )
    (slide,) = read_manifest(str(tmp_path / "man.csv"))
    assert (slide.uri, slide.mask) == (f"{tmp_path}/a b.svs", "/masks/a.png")


def test_a_file_uri_is_a_local_output(tmp_path, capsys):
    assert main(["status", f"file://{tmp_path}"]) == 2
    assert f"{tmp_path}: is not the output of a beamscope job" in capsys.readouterr().err
