import os

import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.sources.planning.inputs import check_has_images
from beamscope.transforms.xrays.names import FILM_NAMES
from tests.shared_data import shared


def make(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return str(root)


@pytest.mark.parametrize(
    "names",
    [
        ("a/b/1.jpg",),
        ("notes.txt", "IM0001"),
        ("a/films.zip",),
        ("films.tar.gz", "old.7z"),
        ("1.dcm.gz", "2.dcm"),
    ],
)
def test_one_film_or_archive_is_enough(tmp_path, names):
    folder = make(tmp_path, *names)
    check_has_images("x", [folder], FILM_NAMES)
    check_has_images("x", [f"{folder}/{name}" for name in names], FILM_NAMES)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "x holds no film: it is empty"),
        (
            ("a.tar.xz",),
            "x holds no film: 1 file, 1 of kinds of archives or compressed",
        ),
        (("a.tar.bz2",), "1 of kinds of archives"),
        (("a.7z", "b.rar", "c.zip.001"), "3 files, 3 of kinds of archives"),
        (
            ("1.dcm.gz", "2.dcm.gz", "labels.csv"),
            "3 files, 2 of kinds .*; 1 no film by its name",
        ),
        (("notes.txt",), "1 no film by its name"),
        (("@eaDir/1.jpg", ".Trash-0/films.zip"), "2 files, 2 in trash"),
    ],
)
def test_check_has_films_errors(tmp_path, names, message):
    folder = make(tmp_path, *names)
    with pytest.raises(InputError, match=message) as caught:
        check_has_images("x", [folder], FILM_NAMES)
    assert caught.value.kind == "no_image"


@pytest.mark.parametrize("name", ["a.tar.xz", "gzd"])
def test_the_case_of_archives_that_are_not_read_errors(name):
    path = shared("cases/xrays/only_archives_not_read") / name
    with pytest.raises(InputError, match="not read"):
        check_has_images(f"--input {name}", [str(path)], FILM_NAMES)


def test_a_film_that_is_named_is_taken_wherever_it_lies(tmp_path):
    make(tmp_path, "@eaDir/1.jpg")
    check_has_images("x", [str(tmp_path / "@eaDir/1.jpg")], FILM_NAMES)
    check_has_images("x", [str(tmp_path / "@eaDir")], FILM_NAMES)


def test_a_folder_that_may_not_be_opened_is_not_called_empty_errors(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="Permission denied") as caught:
        check_has_images("x", [make(tmp_path, "1.jpg")], FILM_NAMES)
    assert caught.value.kind == "unreadable_file"
