"""Files that a download has put in the place of a model's."""

from __future__ import annotations

from pathlib import Path

import pytest

from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.inference.stand_ins import stand_in
from beamscope.transforms.problems import InputError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 91000000\n"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (POINTER, "run git lfs pull"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"<HTML>", "is a web page"),
        (b"", None),
        (b"\x08\x01", None),
    ],
)
def test_stand_in(tmp_path: Path, content: bytes, what: str | None) -> None:
    (tmp_path / "file").write_bytes(content)
    found = stand_in(tmp_path / "file")
    assert found is None if what is None else what in (found or "")


@pytest.mark.parametrize(
    "name",
    ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"],
)
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (POINTER, "is a pointer of Git LFS, not the model: run git lfs pull"),
        (b"<html>not found</html>", "is a web page: download the model itself"),
    ],
)
def test_a_saved_model_of_stand_ins(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    (tmp_path / name).write_bytes(content)
    found = find_model(ModelSettings(str(tmp_path)))
    with pytest.raises(InputError, match=f"model {tmp_path.name}: {name} {what}"):
        found.load()
