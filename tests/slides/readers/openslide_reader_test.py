import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openslide
import pytest

from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.readers.base import NotServed
from beamscope.transforms.slides.readers.openslide_reader import OpenSlideReader
from tests.shared_data import shared
from tests.slides.fakes import FakeSlide


@pytest.fixture
def opened(monkeypatch):
    def install(slide):
        monkeypatch.setattr(openslide, "OpenSlide", slide.open)
        return OpenSlideReader("fake.svs")

    return install


def noise(height, width, seed=0):
    rgba = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    rgba[..., 3] = 255
    return rgba


def test_reads_what_openslide_reads():
    path = shared("data/slides/CMU-1-Small-Region.svs")
    region, scanned = OpenSlideReader(path).read_area(500, 700, 0, 224, 224)
    assert scanned is None
    with openslide.OpenSlide(path) as slide:
        expected = np.asarray(slide.read_region((500, 700), 0, (224, 224)).convert("RGB"))
    np.testing.assert_array_equal(region, expected)


def test_missing_tiles_show_the_background_and_not_black():
    path = shared("data/slides/cmu1_sparse_tiles.svs")
    reader = OpenSlideReader(path)
    rgb, scanned = reader.read_area(0, 0, 0, *reader.dimensions)
    with openslide.OpenSlide(path) as slide:
        rgba = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))
    missing = rgba[..., 3] == 0
    np.testing.assert_array_equal(scanned, ~missing)
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
                region, _ = reader.read_area(x, y, 0, 50, 50)
            except InputError as error:
                lost.append((x, y, error.kind))
            else:
                np.testing.assert_array_equal(region, slide.rgba[y : y + 50, x : x + 50, :3])
    assert lost == [(100, 100, "unreadable_region")]
    # At first, for the bad region, and for the one after it, whose handle serves from then on.
    assert slide.opened == 3


def test_threads_do_not_spoil_each_others_regions(opened):
    bad = [(x, 0, x + 10, 10) for x in range(0, 1000, 100)]
    slide = FakeSlide(noise(200, 1000), bad=bad)
    reader = opened(slide)
    places = [(x, y) for x in range(0, 1000, 50) for y in range(0, 200, 50)] * 5

    def read(place):
        try:
            reader.read_area(*place, 0, 50, 50)
        except InputError:
            return place
        return None

    with ThreadPoolExecutor(8) as threads:
        lost = {place for place in threads.map(read, places) if place}
    assert lost == {(x, 0) for x in range(0, 1000, 100)}


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
def test_broken_files_are_not_served(name, kind):
    path = str(shared(f"data/slides_broken/{name}"))
    answer = OpenSlideReader.open(path)
    assert isinstance(answer, NotServed)
    assert answer.kind == kind
    assert path in answer.reason
    assert "\n" not in answer.reason


def test_open_errors():
    with pytest.raises(InputError, match=r"/nowhere/s\.svs: no such file") as error:
        OpenSlideReader.open("/nowhere/s.svs")
    assert error.value.kind == "missing_file"


def test_a_slide_that_opens_but_cannot_be_read():
    reader = OpenSlideReader(shared("data/slides_broken/unreadable.svs"))
    with pytest.raises(InputError, match="Bogus marker length"):
        reader.read_area(0, 0, 0, 16, 16)


def test_an_area_that_is_scanned_in_part_says_where(opened):
    rgba = noise(100, 100)
    rgba[:, 50:, 3] = 0
    rgb, scanned = opened(FakeSlide(rgba)).read_area(0, 0, 0, 100, 100)
    assert scanned[:, :50].all()
    assert not scanned[:, 50:].any()
    assert (rgb[:, 50:] == 255).all()


def test_a_slide_that_was_replaced_is_not_opened_again_errors(tmp_path):
    path = tmp_path / "s.svs"
    shutil.copy(shared("data/slides_broken/unreadable.svs"), path)
    reader = OpenSlideReader(path)
    shutil.copy(shared("data/slides/CMU-1-Small-Region.svs"), path)
    with pytest.raises(InputError, match="replaced since") as error:
        reader.read_area(0, 0, 0, 16, 16)
    assert error.value.kind == "missing_file"
