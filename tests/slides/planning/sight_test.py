"""What planning sees of a slide, and by which reader."""

import numpy as np
import pytest
import tifffile

from beamscope.transforms.slides.planning.plan import (
    SlideFacts,
)
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from tests.shared_data import shared
from tests.slides.fakes import FakeSlide
from tests.slides.planning.fake_plans import (
    SETTINGS,
    fake_settings,
    pink,
)


def test_a_tiff_that_openslide_shows_wrongly_fails(tmp_path):
    path = tmp_path / "a.tif"
    planes = np.random.default_rng(0).integers(0, 256, (3, 512, 512), np.uint8)
    tifffile.imwrite(path, planes, photometric="minisblack", tile=(128, 128), metadata=None)
    for reader in ("auto", "openslide"):
        settings = SlideSettings(tissue="none", reader=reader)
        plan = plan_slide(SlideRequest("a", str(path), assume_mpp=0.5), settings)
        assert plan.problem.kind == "unsupported_slide"
        assert plan.facts.vendor == "generic-tiff"


@pytest.mark.parametrize(
    ("slide", "changes", "kind"),
    [
        (FakeSlide(pink(300, 300), mpp=None), {}, "missing_mpp"),
        (FakeSlide(pink(300, 300), mpp="352"), {}, "implausible_mpp"),
        (FakeSlide(pink(300, 300), mpp="2"), {}, "too_coarse"),
        (FakeSlide(pink(300, 300), mpp="0.5"), {"tissue": "mask"}, "missing_mask"),
    ],
)
def test_plan_slide_errors(planned, slide, changes, kind):
    plan = planned(slide, fake_settings(patch_px=64, stride_px=64, **changes))
    assert plan.problem.kind == kind
    assert plan.problem.stage == "plan"
    assert (plan.problem.item_id, plan.problem.uri) == ("s", "fake.svs")
    # What is known about the slide is told all the same.
    assert plan.facts == SlideFacts("fake", 300, 300)
    assert plan.patches == 0


def test_a_file_that_is_not_there():
    plan = plan_slide(SlideRequest("s", "/nowhere/s.svs"), SETTINGS)
    assert plan.problem.kind == "missing_file"


@pytest.mark.parametrize(
    ("slide", "changes", "expected"),
    [
        ({"mpp": 0.25}, {}, "native"),
        ({"mpp": 0.25}, {"downscale": "decoder"}, "native decoder"),
        # Nothing to scale: the decoder has nothing to shrink.
        ({"mpp": 0.5}, {"downscale": "decoder"}, "native"),
        ({"mpp": 0.25}, {"reader": "openslide", "downscale": "decoder"}, "openslide"),
        ({"mpp": 0.5, "compression": "jpeg2000"}, {}, "native"),
    ],
)
def test_the_reader_is_chosen_by_what_serves(tmp_path, slide, changes, expected):
    path = tmp_path / "s.svs"
    write_sample_slide(path, SampleSlide(width=1024, height=1024, levels=2, **slide))
    plan = plan_slide(SlideRequest("s", str(path)), SlideSettings(**changes))
    reader, _, downscale = expected.partition(" ")
    assert (plan.reader, plan.read.downscale) == (reader, downscale or "area")


def test_the_native_reader_alone_refuses_what_it_does_not_serve():
    path = shared("data/slides/test3-DAPI-2-(387).ndpi")
    plan = plan_slide(SlideRequest("s", str(path)), SlideSettings(reader="native"))
    assert plan.problem.kind == "not_served"
