from pathlib import Path

import pytest

from beamscope.transforms.inference.find_model import find_model
from beamscope.transforms.inference.model_settings import ModelSettings
from beamscope.transforms.problems import InputError


def test_find_model(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "saved_model.pb").touch()
    found = find_model(ModelSettings(str(tmp_path / "m")))
    assert (found.backend.name, found.path) == ("saved_model", tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "there is no such file or directory"),
        ("file", "a file, not the directory of a SavedModel"),
        ("empty", "the directory holds no saved_model.pb"),
    ],
)
def test_find_model_errors(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"^model .*{name}: {message}") as raised:
        find_model(ModelSettings(str(tmp_path / name)))
    assert raised.value.kind == "bad_model"
