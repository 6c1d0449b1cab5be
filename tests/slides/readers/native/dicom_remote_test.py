"""A DICOM slide gives the same rows from a bucket as from disk, by byte ranges."""

import cv2
import numpy as np
import pytest
from apache_beam.io.filesystems import FileSystems

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.ptransforms.read_slides import _read
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.local_copy import slide_files
from beamscope.transforms.slides.readers.native import dicom_frames as frames
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.pool import close_slides
from beamscope.transforms.slides.requests import SlideRequest, find_slides
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage import files
from beamscope.transforms.storage.cache import FileCache
from tests.slides.readers.native.dicom_slides import KINDS, DicomSlide, write_dicom
from tests.slides.readers.native.files import blobs
from tests.slides.store import watched_store

SETTINGS = SlideSettings(tissue="none", block_size=8)
SIZES = ((1400, 1200), (700, 600), (350, 300))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with watched_store(tmp_path_factory.mktemp("gcs")) as store:
        yield store
    close_slides()


def write(folder, kind, name="slide.dcm"):
    full = blobs(*SIZES[0])
    images = [cv2.resize(full, size, interpolation=cv2.INTER_AREA) for size in SIZES]
    folder.mkdir(exist_ok=True)
    return write_dicom(folder / name, images, KINDS[kind] if isinstance(kind, str) else kind)


def upload(store, folder):
    for path in sorted(folder.iterdir()):
        with FileSystems.create(f"{store.bucket}/{folder.name}/{path.name}") as copy:
            copy.write(path.read_bytes())
    store.forget()
    return f"{store.bucket}/{folder.name}"


def planned(uri, cache=None):
    return plan_slide(SlideRequest("s", str(uri), assume_mpp=0.5), SETTINGS, cache)


@pytest.mark.parametrize(
    "kind", ["JPEG", "JPEG 2000, sparse, extended offsets", "JPEG, no offsets"]
)
def test_the_same_as_on_disk(kind, tmp_path, store):
    local, *_ = write(tmp_path / f"s{list(KINDS).index(kind)}", kind)
    uri = f"{upload(store, local.parent)}/{local.name}"
    cache = FileCache(tmp_path / "cache", 10**9)
    plan, local_plan = planned(uri, cache), planned(local)
    assert (plan.reader, local_plan.reader) == ("native", "native")
    assert plan.version is not None
    assert np.array_equal(plan.x_level0, local_plan.x_level0)
    for ours, theirs in zip(plan.blocks(), local_plan.blocks(), strict=True):
        one, other = _read(ours, 2, cache), _read(theirs, 2, None)
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert one.rows.equals(other.rows)
    assert not cache.directory.exists() or not list(cache.directory.glob("*/*"))


def test_a_block_fetches_its_frames(tmp_path, store):
    local, *_ = write(tmp_path / "few", "JPEG")
    uri = f"{upload(store, local.parent)}/{local.name}"
    slide = NativeReader.open(uri)
    assert isinstance(slide, NativeReader)
    assert store.fetched["few/slide.dcm"] <= 4 * (64 << 10)
    store.forget()
    slide.read_area(0, 0, 0, 128, 128)
    size = local.stat().st_size
    assert 0 < store.fetched["few/slide.dcm"] < size / 10
    assert set(store.fetched) == {"few/slide.dcm"}


def test_a_large_file_without_offsets_is_left_to_openslide(tmp_path, store, monkeypatch):
    monkeypatch.setattr(frames, "_MOST_SEARCHED", 10_000)
    local, *_ = write(tmp_path / "long", "JPEG, no offsets")
    uri = f"{upload(store, local.parent)}/{local.name}"
    answer = NativeReader.open(uri)
    assert isinstance(answer, NotServed)
    assert answer.reason == (
        "level 0: no table of offsets: its frames are only found by reading all of it"
    )
    cache = FileCache(tmp_path / "cache", 10**9)
    plan = planned(uri, cache)
    assert plan.reader == "openslide"
    for ours, theirs in zip(plan.blocks(), planned(local).blocks(), strict=True):
        np.testing.assert_array_equal(_read(ours, 2, cache).pixels, _read(theirs, 2, None).pixels)


def test_series_that_share_a_folder(tmp_path, store):
    ours = write(tmp_path / "flat", "JPEG", "one.dcm")
    write(tmp_path / "flat", "JPEG", "two.dcm")
    (tmp_path / "flat" / "notes.dcm").write_text("not DICOM")
    folder = upload(store, tmp_path / "flat")
    slides = find_slides([f"{folder}/*.dcm"]).slides
    # They are sorted by id, which has the series.
    assert {slide.uri.rpartition("/")[2] for slide in slides} == {
        "one-1.dcm", "two-1.dcm", "notes.dcm",
    }  # fmt: skip
    assert len(slides) == 3
    # A copy for OpenSlide takes no file of the other slide.
    copied = [file.path.rpartition("/")[2] for file in slide_files(f"{folder}/one.dcm")]
    assert copied == sorted(path.name for path in ours)
    assert sum(store.requests.values()) <= 7  # One for the header of each file.


def test_a_file_that_is_replaced_is_another_slide(tmp_path, store):
    local, *_ = write(tmp_path / "old", "JPEG")
    uri = f"{upload(store, local.parent)}/{local.name}"
    slide = NativeReader.open(uri)
    version = slide.version
    assert version == files.stat(uri).version
    write(tmp_path / "old", DicomSlide(photometric="RGB"))
    upload(store, local.parent)
    with pytest.raises(InputError) as raised:
        slide.read_area(0, 0, 0, 128, 128)
    assert raised.value.kind == "missing_file"
    with pytest.raises(InputError) as raised:
        NativeReader.open(uri, version=version)
    assert raised.value.kind == "missing_file"
