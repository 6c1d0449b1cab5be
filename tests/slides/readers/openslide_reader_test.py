from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import openslide
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.openslide_reader import (
    SlideReader,
    background_color,
    composite,
    resample,
)
from tests.shared_data import shared
from tests.slides.fakes import FakeSlide


@pytest.fixture
def opened(monkeypatch):
    def install(slide):
        monkeypatch.setattr(openslide, "OpenSlide", slide.open)
        return SlideReader("fake.svs")

    return install


def noise(height, width, seed=0):
    rgba = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    rgba[..., 3] = 255
    return rgba


def test_reads_what_openslide_reads():
    path = shared("data/slides/CMU-1-Small-Region.svs")
    region = SlideReader(path).read_rgb(500, 700, 0, 224, 224)
    with openslide.OpenSlide(path) as slide:
        expected = np.asarray(slide.read_region((500, 700), 0, (224, 224)).convert("RGB"))
    np.testing.assert_array_equal(region, expected)


def test_missing_tiles_show_the_background_and_not_black():
    reader = SlideReader(shared("data/slides/cmu1_sparse_tiles.svs"))
    rgba = reader.read_rgba(0, 0, 0, *reader.dimensions)
    rgb = composite(rgba, reader.background)
    missing = rgba[..., 3] == 0
    assert 0.4 < missing.mean() < 0.5
    assert (rgb[missing] == 255).all()
    np.testing.assert_array_equal(rgb[~missing], rgba[~missing][:, :3])


def test_an_unreadable_region_costs_just_itself(opened):
    slide = FakeSlide(noise(400, 400), bad=[(100, 100, 110, 110)])
    reader = opened(slide)
    lost = []
    for y in range(0, 400, 50):
        for x in range(0, 400, 50):
            try:
                region = reader.read_rgba(x, y, 0, 50, 50)
            except InputError as error:
                lost.append((x, y, error.kind))
            else:
                np.testing.assert_array_equal(region, slide.rgba[y : y + 50, x : x + 50])
    assert lost == [(100, 100, "unreadable_region")]


def test_threads_do_not_spoil_each_others_regions(opened):
    bad = [(x, 0, x + 10, 10) for x in range(0, 1000, 100)]
    slide = FakeSlide(noise(200, 1000), bad=bad)
    reader = opened(slide)
    places = [(x, y) for x in range(0, 1000, 50) for y in range(0, 200, 50)] * 5

    def read(place):
        try:
            reader.read_rgba(*place, 0, 50, 50)
        except InputError:
            return place
        return None

    with ThreadPoolExecutor(8) as threads:
        lost = {place for place in threads.map(read, places) if place}
    assert lost == {(x, 0) for x in range(0, 1000, 100)}


def test_reader_errors(tmp_path):
    html = tmp_path / "page.svs"
    html.write_text("<html>404</html>")
    secret = tmp_path / "none.svs"
    for path, kind in ((html, "not_a_slide"), (secret, "missing_file")):
        with pytest.raises(InputError) as caught:
            SlideReader(path)
        assert caught.value.kind == kind
        assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("empty.svs", "not_a_slide"),
        ("html_error.svs", "not_a_slide"),
        ("cmu1_truncated_75pct.svs", "not_a_slide"),
        ("unopenable.tiff", "unopenable"),
        ("CMU-1-Small-Region.jp2.tiff", "unopenable"),
    ],
)
def test_broken_files(name, kind):
    with pytest.raises(InputError) as caught:
        SlideReader(shared(f"data/slides_broken/{name}"))
    assert caught.value.kind == kind
    assert "\n" not in caught.value.message


def test_a_slide_that_opens_but_cannot_be_read():
    reader = SlideReader(shared("data/slides_broken/unreadable.svs"))
    with pytest.raises(InputError, match="Bogus marker length"):
        reader.read_rgb(0, 0, 0, 16, 16)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("FF0080", (255, 0, 128)), (None, (255,) * 3), ("", (255,) * 3), ("zz", (255,) * 3)],
)
def test_background_color(text, expected):
    properties = {} if text is None else {"openslide.background-color": text}
    assert background_color(properties) == expected


@given(red=st.integers(0, 255), alpha=st.integers(0, 255), background=st.integers(0, 255))
def test_composite_is_the_over_operator(red, alpha, background):
    rgba = np.array([[[red, 0, 0, alpha]]], np.uint8)
    exact = (Fraction(red) * alpha + Fraction(background) * (255 - alpha)) / 255
    assert abs(int(composite(rgba, (background, 0, 0))[0, 0, 0]) - exact) <= Fraction(1, 2)


@pytest.mark.parametrize("size", [64, 63, 50, 32, 17])
def test_resample_averages_areas(size):
    rgb = noise(64, 64)[..., :3]
    # Each target pixel is the mean of the source area under it: repeat, then average blocks.
    repeated = rgb.repeat(size, axis=0).repeat(size, axis=1).astype(np.float64)
    expected = repeated.reshape(size, 64, size, 64, 3).mean(axis=(1, 3))
    assert np.abs(resample(rgb, size, size) - expected).max() <= 0.51


def test_resample_enlarges_linearly():
    rgb = noise(32, 32)[..., :3]
    enlarged = resample(rgb, 64, 64)
    expected = np.asarray(Image.fromarray(rgb).resize((64, 64), Image.Resampling.BILINEAR))
    assert np.abs(enlarged.astype(int) - expected).max() <= 1
