import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from beamscope.transforms.slides.slide_files import left_out_text, match_slide_files
from tests.shared_data import shared


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def found(pattern, folder):
    files = match_slide_files(str(pattern))
    names = sorted(os.path.relpath(path, folder) for path in files.slides | files.dicom)
    return names, dict(files.left_out)


@pytest.mark.parametrize("ending", ["qptiff", "btf", "tf8", "TIFF", "ome.tif", "Svs", "czi", "bif"])
def test_endings_that_openslide_opens(tmp_path, ending):
    touch(tmp_path, f"a.{ending}")
    assert found(tmp_path, tmp_path) == ([f"a.{ending}"], {})


def test_what_is_no_slide_is_counted(tmp_path):
    touch(
        tmp_path, "a.svs", "b.vsi", "_b_/stack1/frame_t.ets", "c.isyntax", "d.VSI", "notes.txt",
        "x.csv", "README", "e.zarr/0/0/0", ".hidden.svs", "._a.svs", "Thumbs.db",
    )  # fmt: skip
    names, left_out = found(tmp_path, tmp_path)
    assert names == ["a.svs"]
    assert left_out == {
        ".vsi": 2, ".ets": 1, ".isyntax": 1, ".zarr": 1, "other": 3, "hidden files": 3,
    }  # fmt: skip


CLUTTER = [
    ".Trash-1000", "@eaDir", "#recycle", "$RECYCLE.BIN", ".ipynb_checkpoints", "__MACOSX",
    "thumbnails",
]  # fmt: skip


@pytest.mark.parametrize("clutter", CLUTTER)
def test_clutter_is_left_out_and_counted(tmp_path, clutter):
    touch(tmp_path, "a.svs", f"deep/{clutter}/x/a.svs", f"deep/{clutter}/b.svs", "deep/c.svs")
    assert found(tmp_path, tmp_path) == (["a.svs", "deep/c.svs"], {clutter: 2})
    # Who names it means it.
    named = tmp_path / "deep" / clutter
    assert found(named, named) == (["b.svs", "x/a.svs"], {})


@pytest.mark.parametrize("clutter", ["@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX"])
def test_wildcards_leave_clutter_out(tmp_path, clutter):
    touch(tmp_path, "a.svs", f"deep/{clutter}/b.svs", "deep/c.svs")
    assert found(tmp_path / "**/*.svs", tmp_path) == (["a.svs", "deep/c.svs"], {clutter: 1})
    # A wildcard that matches the folder itself.
    assert found(tmp_path / "deep/*", tmp_path) == (["deep/c.svs"], {clutter: 1})


def test_linked_folders_are_followed_once(tmp_path):
    touch(tmp_path, "study/a.svs", "study/deep/b.svs", "elsewhere/c.svs", "elsewhere/far/d.svs")
    for name, target in {
        "aaa": "deep",  # a second way to what is below the folder anyway
        "cohort": "../elsewhere",
        "again": "../elsewhere",
        "deep/up": "..",  # circles
        "deep/self": ".",
    }.items():
        (tmp_path / "study" / name).symlink_to(target, target_is_directory=True)
    (tmp_path / "elsewhere/far/home").symlink_to(tmp_path / "study")
    names, left_out = found(tmp_path / "study", tmp_path / "study")
    assert names == ["a.svs", "again/c.svs", "again/far/d.svs", "deep/b.svs"]
    assert left_out == {}


def test_globs_end_where_links_turn_in_circles(tmp_path):
    touch(tmp_path, "a.svs", "x/b.svs")
    for number in range(6):
        (tmp_path / f"x/self{number}").symlink_to(".")
        (tmp_path / f"x/up{number}").symlink_to("..")
    names, _ = found(tmp_path / "**/*.svs", tmp_path)
    # One file may be reached on several ways; who asks for slides counts it once.
    assert {os.path.realpath(tmp_path / name) for name in names} == {
        str(tmp_path / "a.svs"), str(tmp_path / "x/b.svs"),
    }  # fmt: skip
    assert {"a.svs", "x/b.svs"} <= set(names)


def test_links_to_nowhere_are_slides_that_will_fail(tmp_path):
    touch(tmp_path, "a.svs")
    for name in ("d.tiff", "cohort", "dead.txt", "e.dcm"):
        (tmp_path / name).symlink_to("/nowhere")
    (tmp_path / "loop.svs").symlink_to("loop.svs")
    names, left_out = found(tmp_path, tmp_path)
    assert names == ["a.svs", "cohort", "d.tiff", "e.dcm", "loop.svs"]
    assert left_out == {"other": 1}
    assert found(tmp_path / "d.tiff", tmp_path)[0] == ["d.tiff"]
    assert found(tmp_path / "*.tiff", tmp_path)[0] == ["d.tiff"]


def test_a_folder_that_may_not_be_read_is_a_slide_that_will_fail(tmp_path, monkeypatch):
    touch(tmp_path, "a.svs", "locked/b.svs")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    # Permissions do not bind the root user, who may run this test.
    monkeypatch.setattr(os, "scandir", refuse)
    assert found(tmp_path, tmp_path)[0] == ["a.svs", "locked"]


def test_pipes_are_never_opened(tmp_path):
    touch(tmp_path, "a.svs")
    os.mkfifo(tmp_path / "b.svs")
    os.mkfifo(tmp_path / "c")
    assert found(tmp_path, tmp_path)[0] == ["a.svs"]


def test_dicom_is_known_by_its_magic(tmp_path):
    source = shared("data/slides/cmu1-dicom/level-11-frames-0-1.dcm")
    for name in ("1.2.840.10008.5", "IM000001", "a.dcm", "b.dicom", "DICOMDIR"):
        shutil.copy(source, tmp_path / name)
    touch(tmp_path, "README", "1.2.3", "b.svs")
    files = match_slide_files(str(tmp_path))
    names = sorted(Path(path).name for path in files.dicom)
    assert names == ["1.2.840.10008.5", "IM000001", "a.dcm", "b.dicom"]
    assert files.slides == {str(tmp_path / "b.svs")}
    assert files.left_out == {"other": 3}
    # Named one by one.
    assert match_slide_files(str(tmp_path / "IM*")).dicom == {str(tmp_path / "IM000001")}


def test_companions_are_no_files_of_their_own(tmp_path):
    touch(tmp_path, "m.mrxs", "m/Slidedat.ini", "m/Data0000.dat", "m/x.tif")
    touch(tmp_path, "v/a.vms", "v/a-1.jpg", "v/a.opt", "w/photo.jpg")
    assert found(tmp_path, tmp_path) == (["m.mrxs", "v/a.vms"], {"other": 1})


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.svs", ["a.svs"]),
        # All below a folder, which is what the folder itself stands for.
        ("**", [".h/d.svs", "a.svs", "x/b.svs", "x/y/c.svs"]),
        ("**/", [".h/d.svs", "a.svs", "x/b.svs", "x/y/c.svs"]),
        ("**/*.svs", ["a.svs", "x/b.svs", "x/y/c.svs"]),
        ("*/*.svs", ["x/b.svs"]),
        ("x/**/c*", ["x/y/c.svs"]),
        ("**/y", ["x/y/c.svs"]),
        ("x/[bc].svs", ["x/b.svs"]),
        ("x/?.svs", ["x/b.svs"]),
        ("*.SVS", []),
        (".h*", [".h.svs"]),
        ("nowhere/*", []),
        ("nowhere", []),
    ],
)
def test_globs(tmp_path, pattern, names):
    touch(tmp_path, "a.svs", "x/b.svs", "x/y/c.svs", ".h.svs", ".h/d.svs")
    expected = [*names, ".h/d.svs"] if pattern == ".h*" else names
    assert found(tmp_path / pattern, tmp_path)[0] == sorted(expected)


def test_left_out_text():
    counts = Counter({"other": 1, "@eaDir": 12, ".vsi": 3})
    text = "3 .vsi (Olympus, which OpenSlide does not read), 12 in @eaDir, 1 other file"
    assert left_out_text(counts) == text
    assert left_out_text(Counter()) == ""


def test_the_case_of_linked_folders(tmp_path):
    for name in ("a.tiff", "e.qptiff"):
        touch(tmp_path, f"study/{name}")
    touch(tmp_path, "elsewhere/cohort2/b.tiff")
    (tmp_path / "study/cohort2").symlink_to("../elsewhere/cohort2")
    (tmp_path / "study/d.tiff").symlink_to("/nowhere/d.tiff")
    study = tmp_path / "study"
    assert found(study, study)[0] == ["a.tiff", "cohort2/b.tiff", "d.tiff", "e.qptiff"]
    assert found(study / "**/*.tiff", study)[0] == ["a.tiff", "cohort2/b.tiff", "d.tiff"]
