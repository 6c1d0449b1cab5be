import os
import shutil
import unicodedata

import openslide
import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.requests import (
    SlideRequest,
    assign_masks,
    find_slides,
    read_manifest,
)
from tests.shared_data import shared


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.svs",
        "b.TIFF",
        "deep/er/c.ndpi",
        "notes.txt",
        "._a.svs",
        "m.mrxs",
        "m/Slidedat.ini",
        "m/Data0000.dat",
        "odd [1].svs",
        "TCGA-AA-0001.x.y.svs",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def ids(slides):
    return [slide.slide_id for slide in slides]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["."], ["TCGA-AA-0001.x.y", "a", "b", "c", "m", "odd [1]"]),
        (["deep"], ["c"]),
        (["*.svs"], ["TCGA-AA-0001.x.y", "a", "odd [1]"]),
        (["**/*.ndpi"], ["c"]),
        (["odd [1].svs"], ["odd [1]"]),
        # A file that is named is taken, whatever its ending.
        (["notes.txt"], ["notes"]),
        # The companion directory of an MRXS slide is no slide.
        (["m*"], ["m"]),
        # The same file twice is one slide.
        (["a.svs", "*.svs", "a.svs"], ["TCGA-AA-0001.x.y", "a", "odd [1]"]),
    ],
)
def test_find_slides(folder, patterns, expected, monkeypatch):
    monkeypatch.chdir(folder)
    assert ids(find_slides(patterns).slides) == expected


def test_a_dicom_directory_is_one_slide():
    (slide,) = find_slides([str(shared("data/slides/cmu1-dicom"))]).slides
    assert slide.slide_id == "cmu1-dicom"
    assert slide.uri.endswith(".dcm")
    (again,) = find_slides([str(shared("data/slides/cmu1-dicom")) + "/*.dcm"]).slides
    assert again == slide


def test_two_series_in_one_directory_are_two_slides(tmp_path):
    import pydicom

    source = shared("data/slides/cmu1-dicom/level-11-frames-0-1.dcm")
    shutil.copy(source, tmp_path / "one.dcm")
    other = pydicom.dcmread(source)
    other.SeriesInstanceUID = "1.2.3"
    other.save_as(tmp_path / "two.dcm")
    slides = find_slides([str(tmp_path)]).slides
    assert ids(slides) == sorted(ids(slides))
    assert f"{tmp_path.name}/1.2.3" in ids(slides)
    assert len(slides) == 2


@pytest.mark.parametrize(
    ("patterns", "kind", "named"),
    [
        (["*.bif"], "no_match", "--input *.bif"),
        (["*.svs", "nowhere/x.svs"], "no_match", "nowhere/x.svs"),
        (["m/"], "no_match", "m/"),
        (["a.svs", "copy"], "duplicate_id", "'a'"),
        (["bad*"], "bad_name", "bad\\udcff.svs"),
        (["two*"], "bad_name", "two\\nlines.svs"),
    ],
)
def test_find_slides_errors(folder, patterns, kind, named, monkeypatch):
    (folder / "bad\udcff.svs").write_bytes(b"")
    (folder / "two\nlines.svs").write_bytes(b"")
    (folder / "copy").mkdir()
    (folder / "copy" / "a.tif").write_bytes(b"")
    monkeypatch.chdir(folder)
    with pytest.raises(InputError) as caught:
        find_slides(patterns)
    assert caught.value.kind == kind
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "slide_id,uri\nx,b.svs\na,/abs/a.svs\n",
            [SlideRequest("a", "/abs/a.svs"), SlideRequest("x", "DIR/b.svs")],
        ),
        # Columns in another order, a byte order mark, spaces, Windows line ends.
        (
            "\ufeffuri, slide_id ,mask,mpp\r\ngs://b/s.svs,s, m.geojson ,0.25\r\n",
            [SlideRequest("s", "gs://b/s.svs", 0.25, "DIR/m.geojson")],
        ),
        (
            'slide_id,uri,mpp\n"a, b","x,y.svs",\n',
            [SlideRequest("a, b", "DIR/x,y.svs")],
        ),
    ],
)
def test_read_manifest(tmp_path, text, expected):
    path = tmp_path / "slides.csv"
    path.write_bytes(text.encode())
    slides = [
        SlideRequest(
            slide.slide_id,
            slide.uri.replace(str(tmp_path), "DIR"),
            slide.mpp,
            slide.mask and slide.mask.replace(str(tmp_path), "DIR"),
        )
        for slide in read_manifest(str(path))
    ]
    assert slides == expected


@pytest.mark.parametrize(
    ("content", "kind", "named"),
    [
        (b"", "bad_manifest", "'slide_id'"),
        (b"slide_id,uri\n", "bad_manifest", "names no slide"),
        (b"slide,uri\na,b\n", "bad_manifest", "'slide_id'"),
        (b"slide_id,uri,mmp\na,b,1\n", "bad_manifest", "'mmp'"),
        (b"slide_id,uri,MPP\na,b,1\n", "bad_manifest", "did you mean mpp by the column 'MPP'?"),
        (b"slide_id,uri,masks\na,b,c\n", "bad_manifest", "did you mean mask"),
        (b"slide_id,uri,mpp,mpp\na,b,1,1\n", "bad_manifest", "two columns 'mpp'"),
        (b"slide_id,uri,mpp\na,b,0.25\nc,d,fine\n", "bad_manifest", "line 3: mpp 'fine'"),
        (b"slide_id,uri\na,\n", "bad_manifest", "line 2: uri is empty"),
        (b"slide_id,uri\n ,b\n", "bad_manifest", "line 2: slide_id is empty"),
        (b"slide_id,uri\na\n", "bad_manifest", "line 2"),
        (b"slide_id,uri\na,b,c\n", "bad_manifest", "line 2"),
        (b"slide_id,uri\na,b\na,c\n", "duplicate_id", "'a'"),
        (b"\xff\xfe\x00", "bad_manifest", "slides.csv"),
        (None, "bad_manifest", "slides.csv"),
    ],
)
def test_read_manifest_errors(tmp_path, content, kind, named):
    path = tmp_path / "slides.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_manifest(str(path))
    assert caught.value.kind == kind
    assert named in caught.value.message
    assert "\n" not in caught.value.message


def test_a_dicom_series_without_endings_is_one_slide(tmp_path):
    for number, source in enumerate(sorted(shared("data/slides/cmu1-dicom").glob("*.dcm"))):
        shutil.copy(source, tmp_path / f"1.2.840.{number}")
    (slide,) = find_slides([str(tmp_path)]).slides
    assert slide.slide_id == tmp_path.name
    with openslide.OpenSlide(slide.uri) as opened:
        assert opened.properties["openslide.vendor"] == "dicom"


def test_one_file_on_two_ways_is_one_slide(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.svs").write_bytes(b"")
    (tmp_path / "y").symlink_to("x")
    (tmp_path / "b.svs").symlink_to("x/a.svs")
    patterns = [str(tmp_path / "x"), str(tmp_path / "y"), str(tmp_path / "**/*.svs")]
    slides = find_slides(patterns).slides
    # Under another name it is another slide, since somebody has named it so.
    assert [slide.uri for slide in slides] == [str(tmp_path / "x/a.svs"), str(tmp_path / "b.svs")]


def test_what_is_left_out_is_counted(tmp_path):
    for name in ("a/a.svs", "a/n.txt", "b/b.svs", "b/b.vsi", "b/@eaDir/b.svs"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = find_slides([str(tmp_path / "a"), str(tmp_path / "b")])
    assert found.left_out == {"other": 1, ".vsi": 1, "@eaDir": 1}
    (tmp_path / "a/a.svs").unlink()
    with pytest.raises(InputError, match=r"matches no slide \(left out: 1 other file\)"):
        find_slides([str(tmp_path / "a")])


@pytest.fixture
def slides(tmp_path):
    """Slides a, b and ü; b has a mask of its own."""
    folder = tmp_path / "slides"
    folder.mkdir()
    found = []
    for name in ("a.svs", "b.tif", unicodedata.normalize("NFD", "ü.tif")):
        (folder / name).write_bytes(name.encode())
        mask = "own.png" if name == "b.tif" else None
        found.append(SlideRequest(name.rsplit(".", 1)[0], str(folder / name), mask=mask))
    return found


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def test_assign_masks(tmp_path, slides):
    masks = tmp_path / "masks"
    touch(masks, "a.svs.geojson", "b.png", "unrelated.png", unicodedata.normalize("NFC", "ü.png"))
    found = assign_masks(slides, str(masks))
    names = [slide.mask and slide.mask.rsplit("/", 1)[-1] for slide in found.slides]
    assert names == ["a.svs.geojson", "own.png", unicodedata.normalize("NFC", "ü.png")]
    (note,) = found.notes
    assert "2 of 4 masks are not used: b.png, unrelated.png" in note


def test_a_slide_is_no_mask(tmp_path, slides):
    folder = tmp_path / "slides"
    touch(folder, "a.geojson")
    other = tmp_path / "link"
    other.symlink_to(folder)
    for directory in (folder, other):
        found = assign_masks(slides, str(directory))
        assert [slide.mask for slide in found.slides] == [
            str(directory / "a.geojson"), "own.png", None,
        ]  # fmt: skip
    (folder / "a.geojson").unlink()
    # Nothing but slides: those without a mask will fail.
    assert assign_masks(slides, str(folder)).slides == slides
    # A hard link, in a folder of masks.
    touch(tmp_path / "masks", "a.geojson")
    os.link(slides[2].uri, tmp_path / "masks" / "ü.tif")
    assert assign_masks(slides, str(tmp_path / "masks")).slides[2].mask is None


@pytest.mark.parametrize(
    ("names", "kind", "words"),
    [
        ((), "no_match", "holds no mask"),
        (("notes.txt",), "no_match", "holds no mask"),
        (("x.png", "y.geojson"), "no_match", "none of its 2 masks"),
        (("a.png", "a.geojson"), "ambiguous_mask", "several masks for a: a.geojson, a.png"),
        (("a.geojson", "a.svs.geojson"), "ambiguous_mask", "several masks for a"),
    ],
)
def test_assign_masks_errors(tmp_path, slides, names, kind, words):
    touch(tmp_path / "masks", *names)
    with pytest.raises(InputError) as caught:
        assign_masks(slides, str(tmp_path / "masks"))
    assert caught.value.kind == kind
    assert words in caught.value.message


def test_the_case_of_a_slide_beside_its_mask():
    folder = shared("cases/slides/slide_is_its_own_mask")
    (slide,) = assign_masks(find_slides([str(folder / "a")]).slides, str(folder / "a")).slides
    assert slide.mask == str(folder / "a/a.geojson")
    (slide,) = assign_masks(find_slides([str(folder / "b")]).slides, str(folder / "b")).slides
    assert slide.mask is None


def test_further_columns_are_kept_as_they_are_written(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("slide_id,mpp,patient, label ,uri,mpp_x\na,0.5,007,,b.svs,1\n")
    (slide,) = read_manifest(str(path))
    assert (slide.slide_id, slide.uri, slide.mpp) == ("a", str(tmp_path / "b.svs"), 0.5)
    assert slide.columns == (("patient", "007"), ("label", ""), ("mpp_x", "1"))
