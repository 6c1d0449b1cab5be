import dataclasses

import numpy as np
import pytest

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError
from beamscope.transforms.slides.planning.grid import lay_grid
from beamscope.transforms.slides.planning.limits import (
    MAX_PLACES,
    MAX_THUMBNAIL_PIXELS,
    check_dimensions,
    check_places,
    check_read,
)
from beamscope.transforms.slides.planning.plan import FailedPlan
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.readers.base import SlideReader
from beamscope.transforms.slides.readers.geometry import Level, ReadPlan, Region
from beamscope.transforms.slides.readers.registry import READERS
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings


class Claims(SlideReader):
    """A slide that has whatever size a test says, all of one colour."""

    vendor = "claims"
    knows_levels = True
    background = (255, 255, 255)
    largest_read = 0

    @classmethod
    def open(cls, uri, *, cache=None, version=None):
        width, height, downsample, mpp = (float(word) for word in uri.split("_"))
        slide = cls()
        slide.dimensions = int(width), int(height)
        small = max(1, int(width / downsample)), max(1, int(height / downsample))
        slide.levels = (Level(0, *slide.dimensions, 1.0),)
        if downsample > 1:
            slide.levels += (Level(1, *small, downsample),)
        slide.properties = {"openslide.mpp-x": str(mpp), "openslide.mpp-y": str(mpp)}
        return slide

    def read_area(self, x_level0, y_level0, level, width, height):
        Claims.largest_read = max(Claims.largest_read, width * height)
        return np.broadcast_to(np.uint8([200, 80, 160]), (height, width, 3)).copy(), None


@pytest.fixture(autouse=True)
def _claims():
    READERS.register("claims", Claims)
    Claims.largest_read = 0
    yield
    READERS.unregister("claims")


def plan(size, **settings):
    chosen = dataclasses.replace(SlideSettings(reader="claims"), **settings)
    return plan_slide(SlideRequest("slide", size), chosen)


@pytest.mark.parametrize(
    ("size", "settings", "kind", "words"),
    [
        ("2e9_2e9_1_0.5", {}, Kind.SLIDE_TOO_LARGE, "level 0 claims 2,000,000,000 x"),
        ("4e6_1e3_1_0.5", {}, Kind.SLIDE_TOO_LARGE, "2,097,152 a side"),
        ("0_100_1_0.5", {}, Kind.IMPOSSIBLE_HEADER, "level 0 has 0 x 100 px"),
        ("5e5_5e5_512_0.5", {"stride_px": 100}, Kind.SLIDE_TOO_LARGE, "coarser --mpp or a larger"),
        ("5e5_5e5_1_0.5", {"stride_px": 4096}, Kind.SLIDE_TOO_LARGE, "no coarser level suffices"),
        ("1e5_1e5_1_0.25", {"mpp": 16.0}, Kind.SLIDE_TOO_LARGE, "14,336 x 14,336 px of level 0"),
    ],
)
def test_a_slide_beyond_the_limits_is_one_row(size, settings, kind, words):
    failed = plan(size, **settings)
    assert isinstance(failed, FailedPlan)
    assert failed.problem.kind == kind
    assert words in failed.problem.message


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ("1e5_1e5_16_0.5", {"stride_px": 4096}),
        ("2e6_64_1_0.5", {"patch_px": 64, "stride_px": 64}),
        # A resolution that makes 8 µm of the tissue map a million pixels.
        ("8e3_6e3_1_0.00001", {"allow_implausible_mpp": True, "mpp": 0.0001, "stride_px": 4096}),
        ("8e3_6e3_1_20", {"mpp": 20.0}),
    ],
)
def test_odd_slides_are_read_in_small_pieces(size, settings, monkeypatch):
    drawn = []
    import beamscope.transforms.slides.planning.planner as planner

    draw = planner.draw_plan
    monkeypatch.setattr(
        planner,
        "draw_plan",
        lambda thumbnail, *rest: drawn.append(thumbnail) or draw(thumbnail, *rest),
    )
    ready = plan(size, **settings)
    assert not isinstance(ready, FailedPlan), ready.problem
    assert Claims.largest_read <= 4096 * 4096
    assert [thumbnail.scanned.size <= 1.001 * MAX_THUMBNAIL_PIXELS for thumbnail in drawn] == [True]


def test_the_largest_real_slides_are_within():
    check_dimensions(300_000, 200_000)
    check_dimensions(1_000_000, 200_000)  # 75 x 20 mm at 0.075 µm/px
    check_places(4000, 2000)
    check_read(8192, 0)


def test_a_grid_is_refused_before_it_is_made():
    read = ReadPlan(0, 1.0, 224, 224, 0.5, 0.5)
    with pytest.raises(InputError, match="patches fit on it"):
        lay_grid(Region(0, 0, 1 << 40, 1 << 40), read, 1)
    side = int(MAX_PLACES**0.5) * 224
    assert len(lay_grid(Region(0, 0, side, side), read, 224)) == (side // 224) ** 2
