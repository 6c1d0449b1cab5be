import numpy as np
import openslide
import pytest

from beamscope.transforms.slides.readers.geometry import Region
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from beamscope.transforms.slides.readers.pixels import resample
from beamscope.transforms.slides.tissue.thumbnail import (
    content_region,
    read_thumbnail,
    thumbnail_level,
)
from tests.shared_data import shared
from tests.slides.fakes import FakeSlide


@pytest.fixture
def opened(monkeypatch):
    def install(slide):
        monkeypatch.setattr(openslide, "OpenSlide", slide.open)
        return OpenSlideReader("fake.svs")

    return install


def thumbnail_of(reader, region, scale):
    return read_thumbnail(reader, thumbnail_level(reader.levels, scale), region, scale)


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    rgba = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1)
    return np.dstack([rgba, np.full((height, width), 255)]).astype(np.uint8)


def bounds(**values):
    return {f"openslide.bounds-{name}": str(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, Region(0, 0, 600, 400)),
        (bounds(x=10, y=20, width=300, height=200), Region(10, 20, 300, 200)),
        # Bounds that reach beyond the slide, as some writers give them.
        (bounds(x=-5, y=0, width=1000, height=400), Region(0, 0, 600, 400)),
        (bounds(x=10, y=20), Region(0, 0, 600, 400)),
        (bounds(x="?", y=0, width=1, height=1), Region(0, 0, 600, 400)),
    ],
)
def test_content_region(opened, properties, expected):
    assert content_region(opened(FakeSlide(smooth(400, 600), properties=properties))) == expected


# Below and above the size of the squares that are read at a time.
@pytest.mark.parametrize(("height", "width"), [(300, 500), (5000, 3000)])
@pytest.mark.parametrize("scale", [1.0, 7.3, 32.0])
def test_thumbnail_is_the_area_average(opened, height, width, scale):
    slide = FakeSlide(smooth(height, width))
    thumbnail = thumbnail_of(opened(slide), Region(0, 0, width, height), scale)
    expected = resample(
        np.ascontiguousarray(slide.rgba[..., :3]), round(width / scale), round(height / scale)
    )
    assert thumbnail.rgb.shape == expected.shape
    # Squares are cut at whole source pixels: a fraction of a pixel's worth of shift.
    difference = np.abs(thumbnail.rgb.astype(int) - expected)[..., :2]
    assert difference.max() <= 2
    assert thumbnail.scanned.all()
    assert not thumbnail.unreadable.any()


def test_thumbnail_of_a_pyramid_agrees_with_openslides():
    path = shared("data/slides/tcga_generic_pyramid_mpp0.5.tiff")
    reader = OpenSlideReader(path)
    thumbnail = thumbnail_of(reader, content_region(reader), 12.0)
    with openslide.OpenSlide(path) as slide:
        size = thumbnail.rgb.shape[1::-1]
        expected = np.asarray(slide.get_thumbnail(size).resize(size))
    # OpenSlide's own reads a level in full and shrinks it with another filter.
    assert np.abs(thumbnail.rgb.astype(int) - expected).mean() < 3


def test_shrinking_keeps_the_place(opened):
    slide = FakeSlide(smooth(400, 600))
    thumbnail = thumbnail_of(opened(slide), Region(0, 0, 600, 400), 2.0)
    small = thumbnail.shrunk(8.0)
    assert small.rgb.shape == (50, 75, 3)
    assert (small.scale_x, small.scale_y) == (8.0, 8.0)
    assert thumbnail.shrunk(1.0).rgb.shape == thumbnail.rgb.shape


def test_transparent_is_not_scanned_and_shows_the_background(opened):
    rgba = smooth(400, 400)
    rgba[:, 200:] = 0
    slide = FakeSlide(rgba, properties={"openslide.background-color": "102030"})
    thumbnail = thumbnail_of(opened(slide), Region(0, 0, 400, 400), 4.0)
    assert thumbnail.scanned[:, :50].all()
    assert not thumbnail.scanned[:, 50:].any()
    assert (thumbnail.rgb[:, 51:] == (0x10, 0x20, 0x30)).all()


def test_only_what_is_near_an_unreadable_place_counts_as_unreadable(opened):
    slide = FakeSlide(smooth(4096, 4096), bad=[(3000, 1000, 3001, 1001)])
    thumbnail = thumbnail_of(opened(slide), Region(0, 0, 4096, 4096), 8.0)
    assert thumbnail.unreadable[1000 // 8, 3000 // 8]
    # One square of 256 pixels of 256 such squares.
    assert thumbnail.unreadable.mean() <= 1 / 256
    assert thumbnail.scanned.all()


def test_a_slide_that_cannot_be_read_at_all(opened):
    slide = FakeSlide(smooth(700, 700), bad=[(0, 0, 700, 700)])
    thumbnail = thumbnail_of(opened(slide), Region(0, 0, 700, 700), 8.0)
    assert thumbnail.unreadable.all()
