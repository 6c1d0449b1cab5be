import dataclasses
import shutil

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.geometry import Level, ReadPlan
from beamscope.transforms.slides.readers.native.slide import NativeReader
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from beamscope.transforms.storage.byte_source import LocalSource
from tests.shared_data import shared
from tests.slides.readers.native.files import (
    APERIO,
    DAMAGES,
    KINDS,
    PYRAMID,
    TiledSlide,
    damage,
    tile_place,
    write_slide,
)
from tests.slides.readers.native.reading import (
    THREADS,
    alone,
    by_openslide,
    difference,
    natively,
    opened,
    places,
    plan,
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_as_openslide(kind, tmp_path):
    plain, native = opened(write_slide(tmp_path / "slide.tiff", KINDS[kind]))
    x, y = places(plain)
    for level, downsample in enumerate(level.downsample for level in plain.levels):
        for read_px, patch_px in ((150, 150), (160, 80), (131, 60), (50, 64)):
            read = plan(plain, level, read_px, patch_px)
            most = difference(natively(native, x, y, read), by_openslide(plain, x, y, read)).max()
            whole = not ((x / downsample) % 1).any() and not ((y / downsample) % 1).any()
            assert most <= (0 if whole else 1), (level, read_px, most)


@pytest.mark.parametrize(
    "name",
    [
        "CMU-1-Small-Region.svs",
        "cmu1_jp2k_33005_pyr.svs",
        "cmu1_sparse_tiles.svs",
        "tcga-cr-7395-01a-01-ts1.svs",
        "tcga_generic_pyramid_mpp0.5.tiff",
    ],
)
def test_the_same_as_openslide_on_real_slides(name):
    plain, native = opened(shared(f"data/slides/{name}"))
    x, y = places(plain)
    for level in range(len(plain.levels)):
        for read_px, patch_px in ((224, 224), (448, 224), (245, 224)):
            read = plan(plain, level, read_px, patch_px)
            ours, theirs = natively(native, x, y, read), by_openslide(plain, x, y, read)
            assert difference(ours, theirs).max() <= (1 if level else 0)


@settings(max_examples=60, deadline=None)
@given(
    x=st.integers(0, 720),
    y=st.integers(0, 620),
    level=st.integers(0, 2),
    side=st.integers(1, 300),
)
def test_the_same_at_any_place(odd_pyramid, x, y, level, side):
    plain, native = opened(odd_pyramid)
    read = plan(plain, level, side, side)
    ours, theirs = natively(native, [x], [y], read), by_openslide(plain, [x], [y], read)
    assert difference(ours, theirs).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "tcga_generic_pyramid_mpp0.5.tiff"])
def test_the_same_embeddings(name):
    import tensorflow as tf

    model = tf.saved_model.load(str(shared("models/squeezenet11-imagenet")))
    plain, native = opened(shared(f"data/slides/{name}"))
    x, y = (2 * (values // 2) for values in places(plain, reach=450))
    read = plan(plain, 0, 448, 224)
    ours, theirs = (
        np.asarray(model(tf.constant(patches, tf.float32) / 255)).reshape(len(x), -1)
        for patches in (natively(native, x, y, read, scaled=True), by_openslide(plain, x, y, read))
    )
    cosine = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosine.min() >= 0.999


def test_data_that_is_always_odd_is_not_served(tmp_path):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    damage(path, 0, 0, *DAMAGES["a broken header"])
    answer = NativeReader.open(str(path))
    assert isinstance(answer, NotServed)
    assert answer.reason.startswith("tile (0, 0) of level 0: a broken")


def test_the_largest_tile_is_tried_too(tmp_path):
    slide = TiledSlide(tables=False)
    path = write_slide(tmp_path / "slide.tiff", slide)
    with tifffile.TiffFile(path) as tiff:
        largest = int(np.argmax(tiff.pages[0].databytecounts))
    assert largest > 0
    damage(path, 0, largest, *DAMAGES["a broken header"])
    answer = NativeReader.open(str(path))
    assert isinstance(answer, NotServed)
    assert answer.reason.startswith(f"tile ({largest % 6}, {largest // 6}) of level 0: ")


def test_cut_off_file_errors(sample, tmp_path):
    # Its directories are at the front, so that it opens; a good part of its pixels is gone.
    path = shutil.copy(sample, tmp_path / "cut.svs")
    offset, _ = tile_place(path, 0, 15)
    native = alone(LocalSource(path))
    with path.open("r+b") as file:
        file.truncate(offset + 10)
    problems = native.read_patches(
        np.array([0, 700]),
        np.array([0, 700]),
        plan(native),
        np.empty((2, 150, 150, 3), np.uint8),
        THREADS,
    )
    assert problems[0] is None
    assert problems[1].kind == "unreadable_region"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("data/slides_broken/CMU-1-Small-Region.jp2.tiff", "level 0: compression 34712"),
        ("data/slides/test3-DAPI-2-(387).ndpi", "a slide of hamamatsu"),
    ],
)
def test_other_slides_are_not_served(name, reason):
    answer = NativeReader.open(str(shared(name)))
    assert isinstance(answer, NotServed)
    assert reason in answer.reason


def test_check_plan_errors(tmp_path):
    slide = TiledSlide(PYRAMID, description=APERIO, missing=((1, 3),))
    plain, native = opened(write_slide(tmp_path / "slide.svs", slide))
    assert native.serves_level(0) is None
    native.check_plan(plan(plain, 0))
    # OpenSlide draws such tiles from finer levels.
    drawn = "level {}: missing tiles, drawn from a finer level"
    for level in (1, 2):
        assert native.serves_level(level).reason == drawn.format(level)
    for read, reason in (
        (plan(plain, 1), drawn.format(1)),
        (ReadPlan(3, 8.0, 9, 9, 1, 1), "no level 3"),
        (ReadPlan(1, 2.1, 9, 9, 1, 1), "no level 1 of downsample 2.1"),
    ):
        with pytest.raises(InputError, match=reason) as error:
            native.read_patches(*np.zeros((2, 1), int), read, np.empty((1, 9, 9, 3)), THREADS)
        assert error.value.kind == "not_served"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"levels": (Level(0, 700, 601, 1.0),)}, "levels 700 x 600, in OpenSlide 700 x 601"),
        ({"properties": {"openslide.vendor": "trestle"}}, "vendor generic-tiff, in OpenSlide"),
        ({"properties": {"openslide.vendor": "generic-tiff", "openslide.mpp-x": "3"}}, "mpp-x"),
    ],
)
def test_a_local_slide_that_openslide_sees_otherwise_is_not_served(
    change, reason, tmp_path, monkeypatch
):
    path = write_slide(tmp_path / "slide.tiff", TiledSlide())
    assert isinstance(NativeReader.open_to_plan(str(path)), NativeReader)
    whole = OpenSlideReader.open

    def otherwise(uri):
        slide = whole(uri)
        vars(slide).update(change)
        return slide

    monkeypatch.setattr(OpenSlideReader, "open", otherwise)
    answer = NativeReader.open_to_plan(str(path))
    assert isinstance(answer, NotServed)
    assert reason in answer.reason
    # Under auto OpenSlide then serves the slide.
    asked = SlideSettings(patch_px=64, stride_px=64, tissue="none")
    monkeypatch.undo()
    monkeypatch.setattr(NativeReader, "open_to_plan", lambda uri, cache: answer)
    request = SlideRequest("s", str(path), assume_mpp=0.5)
    assert plan_slide(request, asked).reader == "openslide"
    refused = plan_slide(request, dataclasses.replace(asked, reader="native"))
    assert (refused.problem.kind, refused.problem.message) == ("not_served", answer.reason)


def test_an_unknown_store_errors():
    with pytest.raises(InputError) as error:
        NativeReader.open("ftp://host/s.svs")
    assert error.value.kind == "unknown_scheme"
