"""DICOM slides of every kind show what OpenSlide shows; others are left to it, with a reason."""

import io
import shutil
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.geometry import ReadPlan
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.storage.byte_source import LocalSource
from beamscope.transforms.storage.joined_source import JoinedSource
from tests.shared_data import shared
from tests.slides.readers.native import dicom_slides as slides
from tests.slides.readers.native.dicom_slides import KINDS, DicomSlide, edited, write_dicom
from tests.slides.readers.native.files import ODD_PYRAMID, PYRAMID, blobs

THREADS = ThreadPoolExecutor(4)
# OpenSlide's interpolation between pixels is known to a grey level, see `subpixel`.
BETWEEN = 1


def pyramid(sizes=PYRAMID):
    image = blobs(*sizes[0])
    return [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for size in sizes]


def both(path):
    native, plain = NativeReader.open_to_plan(str(path)), OpenSlideReader.open(str(path))
    assert isinstance(native, NativeReader), native
    assert isinstance(plain, OpenSlideReader), plain
    return native, plain


def same_pixels(native, plain, tolerance=0):
    """Areas inside and beyond each level, and what was scanned of them, are the same."""
    for level in native.levels:
        width, height = level.width, level.height
        corner = max(0, width - 40), max(0, height - 30)
        for x, y in ((0, 0), (width // 3, height // 4), corner, (width, 0)):
            where = round(x * level.downsample), round(y * level.downsample), level.number
            ours, our_scanned = native.read_area(*where, 150, 130)
            theirs, their_scanned = plain.read_area(*where, 150, 130)
            assert np.abs(ours.astype(int) - theirs).max() <= tolerance
            if our_scanned is None or their_scanned is None:
                assert (our_scanned is None) == (their_scanned is None)
            else:
                np.testing.assert_array_equal(our_scanned, their_scanned)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_as_in_openslide(kind, tmp_path):
    path, *_ = write_dicom(tmp_path / "slide.dcm", pyramid(), KINDS[kind])
    native, plain = both(path)
    assert native.difference(plain) is None
    assert native.vendor == plain.vendor == "dicom"
    mpp = [float(native.properties.get(f"openslide.mpp-{axis}", 0)) for axis in "xy"]
    assert mpp == ([0, 0] if kind.startswith("neither") else pytest.approx([0.26, 0.25]))
    same_pixels(native, plain)


def test_odd_downsamples_are_as_in_openslide(tmp_path):
    path, *_ = write_dicom(tmp_path / "slide.dcm", pyramid(ODD_PYRAMID))
    native, plain = both(path)
    same_pixels(native, plain, BETWEEN)


def test_a_real_slide_is_as_in_openslide():
    native, plain = both(shared("data/slides/cmu1-dicom/level-3-frames-0-1.dcm"))
    assert len(native.levels) == 12
    assert native.dimensions == (2220, 2967)
    same_pixels(native, plain, BETWEEN)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG 2000, sparse, extended offsets"])
def test_a_real_slide_that_is_converted(kind, tmp_path):
    source = OpenSlideReader.open(str(shared("data/slides/CMU-1-Small-Region.svs")))
    full, _ = source.read_area(300, 400, 0, 1100, 900)
    images = [full, cv2.resize(full, (550, 450), interpolation=cv2.INTER_AREA)]
    path, *_ = write_dicom(tmp_path / "slide.dcm", images, KINDS[kind])
    native, plain = both(path)
    same_pixels(native, plain)
    shown, _ = native.read_area(0, 0, 0, 1100, 900)
    assert np.abs(shown.astype(int) - full).mean() < 4  # What the encoders lose.


def test_any_file_of_the_series_is_the_slide(tmp_path):
    paths = write_dicom(tmp_path / "slide.dcm", pyramid())
    write_dicom(tmp_path / "other.dcm", pyramid())
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "cut.dcm").write_bytes(paths[0].read_bytes()[:200])
    # A label, and a copy of a level.
    slides.write_level(
        tmp_path / "label.dcm", blobs(90, 60), DicomSlide(), series_of(paths[0]), flavour="LABEL"
    )
    shutil.copy(paths[1], tmp_path / "copy.dcm")
    areas = []
    for path in (*paths, tmp_path / "label.dcm", tmp_path / "copy.dcm"):
        native, _ = both(path)
        assert [(level.width, level.height) for level in native.levels] == list(PYRAMID)
        areas.append(native.read_area(10, 20, 0, 200, 100)[0])
    for area in areas[1:]:
        np.testing.assert_array_equal(area, areas[0])


def series_of(path):
    found = []
    edited(path, lambda data: found.append(data.SeriesInstanceUID))
    return found[0]


def test_tiles_are_passed_on_as_jpeg(tmp_path):
    path, *_ = write_dicom(tmp_path / "slide.dcm", pyramid())
    native, _ = both(path)
    read = ReadPlan(0, 1.0, 128, 128, 0.25, 0.25)
    x, y = np.array([0, 128, 5]), np.array([0, 256, 128])
    pixels = np.zeros((3, 128, 128, 3), np.uint8)
    assert native.read_patches(x, y, read, pixels, THREADS) == [None] * 3
    *streams, none = native.tile_streams(x, y, read, pixels)
    assert none is None
    for stream, patch in zip(streams, pixels, strict=False):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stream))), patch)


# -- what is refused


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ConcatenationUID": "1.2.3"}, "a concatenation of several files"),
        ({"NumberOfOpticalPaths": 3}, "NumberOfOpticalPaths 3"),
        ({"TotalPixelMatrixFocalPlanes": 5}, "TotalPixelMatrixFocalPlanes 5"),
        ({"PhotometricInterpretation": "YBR_FULL"}, "photometric interpretation YBR_FULL"),
        ({"SamplesPerPixel": 1}, "SamplesPerPixel 1"),
        ({"BitsStored": 12}, "BitsStored 12"),
        ({"NumberOfFrames": 31}, "31 frames for 6 x 5 places"),
        ({"NumberOfFrames": 29}, "a table of 30 offsets for 29 frames"),
        ({"TotalPixelMatrixRows": 0}, "an image of 700 x 0 px"),
        ({"Rows": 8192}, "frames of 128 x 8192 px"),
        ({"Rows": 1, "Columns": 1, "TotalPixelMatrixColumns": 10**7}, "an image of 10000000 x"),
        ({"DimensionOrganizationType": "3D"}, "it does not say where its frames belong"),
        ({"TotalPixelMatrixColumns": None}, "no TotalPixelMatrixColumns"),
    ],
)
def test_what_is_not_understood_is_refused(change, reason, tmp_path):
    path, *_ = write_dicom(tmp_path / "slide.dcm", pyramid()[:1])

    def spoil(data):
        for keyword, value in change.items():
            setattr(data, keyword, value)

    edited(path, spoil)
    answer = NativeReader.open(str(path))
    assert isinstance(answer, NotServed)
    assert reason in answer.reason
    assert "\n" not in answer.reason


@pytest.mark.parametrize(
    ("places", "reason"),
    [
        ([(1, 1), (130, 1)], "frames that overlap, or lie off their grid"),
        ([(1, 1), (1, 1)], "two at one place"),
        ([(1, 1), (129, 10_113)], "frames outside the image"),
        ([(1, 1)], "2 frames, but 1 positions"),
    ],
)
def test_frames_off_their_grid_are_refused(places, reason, tmp_path):
    slide = DicomSlide(sparse=True)
    path, *_ = write_dicom(tmp_path / "slide.dcm", [blobs(256, 128)], slide)

    def spoil(data):
        data.PerFrameFunctionalGroupsSequence = [slides.per_frame(*place) for place in places]

    edited(path, spoil)
    answer = NativeReader.open(str(path))
    assert isinstance(answer, NotServed)
    assert reason in answer.reason


def test_two_images_of_one_size_are_refused(tmp_path):
    path, *_ = write_dicom(tmp_path / "slide.dcm", pyramid())
    shutil.copy(path, tmp_path / "twin.dcm")
    edited(tmp_path / "twin.dcm", another_instance)
    answer = NativeReader.open(str(path))
    assert isinstance(answer, NotServed)
    assert answer.reason == "DICOM: two images of one size"


def another_instance(data):
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    path, *_ = write_dicom(tmp_path / "slide.dcm", pyramid()[:1])
    data = path.read_bytes()
    for end in (140, 400, 900, len(data) // 2, len(data) - 20):
        path.write_bytes(data[:end])
        answer = NativeReader.open(str(path))
        assert isinstance(answer, NotServed), end
        assert "\n" not in answer.reason


def test_an_uncompressed_slide_is_left_to_openslide(tmp_path):
    path, *_ = write_dicom(tmp_path / "slide.dcm", pyramid()[:1])

    def decompressed(data):
        data.PhotometricInterpretation = "RGB"
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        data.PixelData = bytes(30 * 3 * 128 * 128)
        data["PixelData"].is_undefined_length = False

    edited(path, decompressed)
    answer = NativeReader.open(str(path))
    assert isinstance(answer, NotServed)
    assert "transfer syntax 1.2.840.10008.1.2.1" in answer.reason
    plain = OpenSlideReader.open(str(path))
    assert not plain.read_area(0, 0, 0, 50, 50)[0].any()


def test_a_damaged_item_costs_its_patches(tmp_path):
    path, *_ = write_dicom(tmp_path / "slide.dcm", pyramid())
    offset, _ = slides.frame_place(path, 8)
    with path.open("r+b") as file:
        file.seek(offset - 4)
        file.write(b"\xff\xff\xff\x7f")  # Longer than its place.
    native = NativeReader.open(str(path))
    native.read_area(0, 0, 0, 128, 128)
    with pytest.raises(InputError) as raised:
        native.read_area(256, 128, 0, 128, 128)
    assert raised.value.kind == "unreadable_region"
    assert "tile (2, 1) of level 0: a frame is longer than its place" in raised.value.message


# -- bytes of several files


def test_files_are_read_as_one(tmp_path):
    contents = [b"abcdef", b"", b"0123456789"]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
    source = JoinedSource([LocalSource(tmp_path / str(n)) for n in range(3)], None)
    assert (source.size, source.starts, source.generation) == (16, (0, 6, 6), None)
    assert [source.read(*place) for place in ((0, 3), (4, 9), (6, 2), (12, 9), (20, 1))] == [
        b"abc", b"ef", b"01", b"6789", b"",
    ]  # fmt: skip
    asked = [(14, 2), (0, 1), (7, 3), (5, 5)]
    assert [wait() for wait in source.request(asked)] == [b"89", b"a", b"123", b"f"]
    source.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        source.read(0, 1)
