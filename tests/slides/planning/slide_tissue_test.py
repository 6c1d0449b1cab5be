"""Where a slide has tissue, by the patches that are planned there."""

import numpy as np
import pytest

from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.settings import SlideSettings
from tests.shared_data import shared
from tests.slides.fakes import FakeSlide
from tests.slides.planning.fake_plans import (
    by_mask,
    fake_settings,
    pink,
    write_mask,
)


def test_none_takes_all_that_was_scanned(planned):
    rgba = np.full((640, 640, 4), 255, np.uint8)
    rgba[:, 320:] = 0
    settings = fake_settings(mpp=0.5, patch_px=64, stride_px=64, tissue="none")
    plan = planned(FakeSlide(rgba, mpp="0.5"), settings)
    assert sorted(set(plan.x_level0)) == [0, 64, 128, 192, 256]
    assert plan.patches == 50


def test_mask_selects_patches(planned, tmp_path):
    mask = write_mask(tmp_path / "m.geojson", (None, (128, 128, 256, 192)))
    request = SlideRequest("s", "fake.svs", mask=mask)
    plan = planned(FakeSlide(pink(600, 600), mpp="0.5"), by_mask(), request)
    assert list(zip(plan.x_level0, plan.y_level0, strict=True)) == [(128, 128), (192, 128)]
    assert plan.classes is None


def test_classes_can_be_chosen(planned, tmp_path):
    mask = write_mask(
        tmp_path / "m.geojson", ("Tumor", (0, 0, 192, 256)), ("Stroma", (192, 0, 256, 256))
    )
    request = SlideRequest("s", "fake.svs", mask=mask)
    slide = FakeSlide(pink(600, 600), mpp="0.5")
    plan = planned(slide, by_mask(mask_classes=("Stroma",)), request)
    assert set(plan.x_level0) == {192}
    plan = planned(slide, by_mask(mask_classes=("Necrosis",)), request)
    assert plan.reason.endswith("classes Necrosis; its classes: Stroma, Tumor")


def test_slides_without_a_mask_are_planned_by_otsu(planned, tmp_path):
    mask = write_mask(tmp_path / "m.geojson", (None, (128, 128, 256, 192)))
    rgba = np.full((1024, 1024, 4), (250, 250, 250, 255), np.uint8)
    rgba[:512] = pink(512, 1024)
    slide = FakeSlide(rgba, mpp="0.5")
    both = by_mask(otsu_without_mask=True)
    with_mask = planned(slide, both, SlideRequest("s", "fake.svs", mask=mask))
    assert with_mask.patches == 2
    without = planned(slide, both, SlideRequest("s", "fake.svs"))
    otsu = planned(slide, by_mask(tissue="otsu"), SlideRequest("s", "fake.svs"))
    assert without.patches == otsu.patches > 2
    assert np.array_equal(without.x_level0, otsu.x_level0)


def test_unreadable_places_are_tried_and_not_left_out(planned):
    rgba = np.full((1024, 1024, 4), (250, 250, 250, 255), np.uint8)
    rgba[:512] = pink(512, 1024)
    plan = planned(FakeSlide(rgba, mpp="0.5", bad=[(70, 900, 75, 905)]))
    corners = set(zip(plan.x_level0.tolist(), plan.y_level0.tolist(), strict=True))
    assert (64, 896) in corners
    assert (960, 960) not in corners


@pytest.mark.parametrize(
    ("name", "patches"),
    [
        ("CMU-1-Small-Region.svs", 58),
        ("cmu1_jp2k_33005_pyr.svs", 58),
        ("cmu1-dicom/level-0-frames-0-30.dcm", 59),
        ("test3-DAPI-2-(387).ndpi", 62),
    ],
)
def test_real_slides_have_about_the_patches_that_their_tissue_covers(name, patches):
    plan = plan_slide(SlideRequest("s", str(shared(f"data/slides/{name}"))), SlideSettings())
    assert plan.patches == pytest.approx(patches, abs=4)


def quarters():
    """A slide of tissue whose right half is paler, with a hole and a speck."""
    rgba = np.full((1024, 2048, 4), (244, 242, 243, 255), np.uint8)
    rgba[128:896, 128:1024] = pink(768, 896)
    rgba[128:896, 1024:1920, :3] = (244, 225, 235)
    rgba[400:560, 400:560, :3] = (244, 242, 243)  # 80 x 80 µm
    return rgba


@pytest.mark.parametrize(
    ("changes", "pale", "hole"),
    [
        # Otsu's threshold is at most 20/255, and the pale half has a spread of 19/255.
        ({}, False, False),
        ({"tissue_threshold": 0.05}, True, False),
        ({"tissue_threshold": 0.1}, False, False),
        ({"min_hole_um2": 10_000}, False, True),
        ({"min_hole_um2": 0}, False, False),
    ],
)
def test_tissue_can_be_tuned(planned, changes, pale, hole):
    settings = fake_settings(mpp=0.5, patch_px=64, stride_px=64, min_tissue=0.5, **changes)
    plan = planned(FakeSlide(quarters(), mpp="0.5"), settings)
    taken = set(zip(plan.x_level0.tolist(), plan.y_level0.tolist(), strict=True))
    assert ((1280, 512) in taken) is pale
    assert ((448, 448) in taken) is hole
    assert (512 + 128, 640) in taken


def test_min_object_leaves_out_dust(planned):
    rgba = np.full((1024, 1024, 4), (244, 242, 243, 255), np.uint8)
    rgba[128:640, 128:640] = pink(512, 512)
    rgba[768:960, 768:960] = pink(192, 192)  # 96 x 96 µm = 9,216 µm²
    for least, expected in ((5_000, True), (8_000, True), (10_000, False)):
        settings = fake_settings(mpp=0.5, patch_px=64, stride_px=64, min_object_um2=least)
        plan = planned(FakeSlide(rgba, mpp="0.5"), settings)
        assert ((plan.x_level0 >= 768).any()) == expected
