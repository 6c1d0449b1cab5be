import pytest

from beamscope.transforms.clutter import is_clutter, is_clutter_folder
from beamscope.transforms.xrays.names import FILM_NAMES


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("p1/view1.jpg", "image"),
        ("p1/VIEW1.JPEG", "image"),
        ("x.png", "image"),
        ("x.dcm", "image"),
        ("p1/IM000001", "image"),
        ("1.2.840.113619.2.5", "image"),
        ("../../etc/x.jpg", "image"),
        ("images\\00000001_000.png", "image"),
        ("README", "not_an_image"),
        ("folder\\README", "not_an_image"),
        ("DICOMDIR", "not_an_image"),
        ("labels.csv", "not_an_image"),
        ("report.txt", "not_an_image"),
        ("inner.zip", "archive"),
        ("inner.tar.gz", "archive"),
        ("inner.7z", "archive"),
        ("inner.tar.xz", "archive"),
        # One compressed file is what is in it.
        ("1.dcm.gz", "archive"),
        ("1.png.bz2", "archive"),
        ("IM0001.gz", "archive"),
        ("1.2.840.5.Z", "archive"),
        ("metadata.csv.gz", "not_an_image"),
        ("reports.json.gz", "not_an_image"),
        ("scan.nii.gz", "not_an_image"),
        ("README.gz", "not_an_image"),
        # Volumes of split archives; a UID may end in three digits too.
        ("films.z01", "archive"),
        ("films.r00", "archive"),
        ("films.zip.001", "archive"),
        ("films.7z.012", "archive"),
        ("1.2.840.001", "image"),
    ],
)
def test_role_of(name, role):
    assert FILM_NAMES.role_of(name) == role


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX/p1/._view1.jpg",
        "__MACOSX\\._view1.jpg",
        "p1/._view1.jpg",
        "p1/.DS_Store",
        "images\\Thumbs.db",
        "@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
        "a/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
        "#recycle/2.png",
        "$RECYCLE.BIN/$R1.png",
        "$Recycle.Bin/S-1-5-21/$R1.png",
        ".Trash-1000/files/old.png",
        ".Trash-0/files/old.zip",
        ".ipynb_checkpoints/1-checkpoint.png",
        "p/.@__thumb/default1.jpg",
        "@Recycle/1.dcm",
    ],
)
def test_clutter(name):
    assert is_clutter(name)
    assert FILM_NAMES.role_of(name) == "clutter"


@pytest.mark.parametrize(
    "name",
    ["trash/1.png", "recycle/1.png", ".Trash-x/1.png", "eaDir.png", ".hidden/1.png", "@eaDir"],
)
def test_no_clutter(name):
    assert not is_clutter(name)


def test_a_folder_is_clutter_by_its_own_name():
    assert is_clutter_folder("@eaDir")
    assert not is_clutter_folder("films")
