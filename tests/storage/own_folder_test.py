import os
import tempfile

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.storage.own_folder import make_own, own_folder


def test_is_of_this_user_and_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = own_folder("slides")
    assert folder.parent == tmp_path
    assert "slides" in folder.name
    assert str(os.getuid()) in folder.name
    assert folder != own_folder("models")


def test_made_and_found_again(tmp_path):
    folder = tmp_path / "a" / "b"
    make_own(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    make_own(folder)


def test_make_own_errors(tmp_path):
    for mode in (0o770, 0o702, 0o720):
        folder = tmp_path / f"{mode:o}"
        folder.mkdir()
        folder.chmod(mode)
        with pytest.raises(InputError, match=f"{folder} can be written by others") as raised:
            make_own(folder)
        assert raised.value.kind == "unsafe_folder"
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InputError, match="link can be written by others"):
        make_own(tmp_path / "link")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_of_another_user(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, -1)
    with pytest.raises(InputError, match="theirs can be written by others"):
        make_own(folder)
