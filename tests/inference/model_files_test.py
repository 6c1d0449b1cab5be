import hashlib
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.localfilesystem import LocalFileSystem

from beamscope.transforms.inference import model_files
from beamscope.transforms.inference.model_files import local_model, model_digest
from beamscope.transforms.problems import InputError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "remote" / "path-50x1-remedis-m"
    (directory / "variables").mkdir(parents=True)
    (directory / "assets").mkdir()
    (directory / "saved_model.pb").write_bytes(b"graph")
    (directory / "variables" / "variables.index").write_bytes(b"index")
    (directory / "variables" / "variables.data-00000-of-00001").write_bytes(b"\0" * 5000)
    (directory / "assets" / "words.gz").write_bytes(b"not really gzip")
    return directory


class FakeFileSystem(LocalFileSystem):
    """Serves `root` as ``fake://``, and counts what is opened."""

    root = Path()
    opened = 0

    @classmethod
    def scheme(cls) -> str:
        return "fake"

    @classmethod
    def _real(cls, path: str) -> str:
        return path.replace("fake:/", str(cls.root), 1)

    def match(self, patterns: list[str], limits: Any = None) -> Any:
        results = super().match([self._real(pattern) for pattern in patterns], limits)
        for result in results:
            for entry in result.metadata_list:
                entry.path = entry.path.replace(str(self.root), "fake:/", 1)
        return results

    def open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        type(self).opened += 1
        return super().open(self._real(path), *args, **kwargs)


@pytest.fixture
def remote(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    local = FileSystems.get_filesystem

    def get_filesystem(path: str) -> Any:
        return FakeFileSystem(None) if path.startswith("fake://") else local(path)

    monkeypatch.setattr(FileSystems, "get_filesystem", staticmethod(get_filesystem))
    monkeypatch.setattr(FakeFileSystem, "root", model.parent)
    monkeypatch.setattr(FakeFileSystem, "opened", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(model_files, "_copies", {})
    return f"fake://{model.name}"


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_local_model_of_a_path(model: Path) -> None:
    assert local_model(str(model)) == model


def test_local_model_copies_once(remote: str, model: Path) -> None:
    copy = local_model(remote)
    assert contents(copy) == contents(model)
    assert copy.name == model.name
    assert local_model(remote) == copy
    assert FakeFileSystem.opened == 4


def test_local_model_reuses_the_copy_of_another_process(
    remote: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = local_model(remote)
    monkeypatch.setattr(model_files, "_copies", {})
    assert local_model(remote + "/") == copy
    assert FakeFileSystem.opened == 4

    (model / "saved_model.pb").write_bytes(b"another graph")
    monkeypatch.setattr(model_files, "_copies", {})
    assert contents(local_model(remote)) == contents(model)


def test_local_model_leaves_nothing_half_copied(
    remote: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FakeFileSystem, path: str, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("cut")

    monkeypatch.setattr(FakeFileSystem, "open", refuse)
    with pytest.raises(ConnectionError):
        local_model(remote)
    caches = list(tmp_path.glob("beamscope-models-*"))
    assert caches
    assert not [path for path in caches[0].rglob("*") if path.is_file()]


def test_local_model_errors(remote: str) -> None:
    with pytest.raises(InputError, match="fake://elsewhere: there is no such directory"):
        local_model("fake://elsewhere")
    with pytest.raises(InputError, match="nosuch://m: cannot be listed"):
        local_model("nosuch://m")


def test_local_model_refuses_a_folder_that_others_can_write(remote: str, tmp_path: Path) -> None:
    local_model(remote).parents[1].chmod(0o777)
    with pytest.raises(InputError, match="can be written by others"):
        local_model(remote + "/")


def test_model_digest_is_that_of_sha256sum(model: Path) -> None:
    (model / ".DS_Store").write_bytes(b"hidden")
    (model / ".git").mkdir()
    (model / ".git" / "HEAD").write_bytes(b"hidden")
    names = [
        "assets/words.gz",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]
    listing = subprocess.run(["sha256sum", *names], cwd=model, capture_output=True, check=True)
    assert model_digest(model) == hashlib.sha256(listing.stdout).hexdigest()


def test_model_digest_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    for name in ("a.model", "b.model"):
        (tmp_path / name).write_bytes(b"weights")
        assert model_digest(tmp_path / name) == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.parametrize("change", ["content", "name", "added", "removed"])
def test_model_digest_changes_with_the_files(model: Path, change: str) -> None:
    before = model_digest(model)
    index = model / "variables" / "variables.index"
    match change:
        case "content":
            index.write_bytes(b"indeX")
        case "name":
            index.rename(index.with_name("variables.inde"))
        case "added":
            (model / "assets" / "empty").touch()
        case "removed":
            index.unlink()
    assert model_digest(model) != before
