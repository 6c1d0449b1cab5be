import numpy as np
import pytest

from beamscope.transforms.slides.planning.plan import (
    ROW_SCHEMA,
    EmptyPlan,
    ReadyPlan,
    SlideFacts,
)
from beamscope.transforms.slides.planning.planner import plan_slide
from beamscope.transforms.slides.planning.resolution import SlideMpp
from beamscope.transforms.slides.requests import SlideRequest
from beamscope.transforms.slides.sample.slide import SampleSlide, write_sample_slide
from beamscope.transforms.slides.settings import SlideSettings
from tests.slides.fakes import FakeSlide
from tests.slides.planning.fake_plans import SETTINGS, by_mask, fake_settings, pink, write_mask


def test_plan_of_a_sample_slide(tmp_path):
    path = tmp_path / "s.svs"
    write_sample_slide(path, SampleSlide(width=2048, height=2048, mpp=0.25))
    plan = plan_slide(SlideRequest("s", str(path)), SlideSettings())
    assert isinstance(plan, ReadyPlan)
    assert plan.facts == SlideFacts("aperio", 2048, 2048)
    assert plan.mpp == SlideMpp(0.25, 0.25, "slide")
    assert (plan.read.level, plan.read.read_px, plan.read.mpp_effective) == (0, 448, 0.5)
    # Of 4 x 4 patches, those with a quarter of tissue.
    assert 0 < plan.patches < 16
    assert (plan.tissue >= 0.25).all()
    assert set(plan.x_level0) <= {0, 448, 896, 1344}
    assert sum(plan.block_sizes()) == plan.patches
    assert plan.picture.jpeg[:2] == b"\xff\xd8"


def test_blocks_carry_the_rows(planned):
    plan = planned(FakeSlide(pink(600, 600), mpp="0.5"))
    assert plan.patches == 81
    assert plan.block_sizes() == [16] * 5 + [1]
    blocks = list(plan.blocks())
    assert [str(block.key) for block in blocks] == [f"s[{i}]" for i in range(6)]
    rows = [row for block in blocks for row in block.rows().to_pylist()]
    assert blocks[0].rows().schema.equals(ROW_SCHEMA)
    assert {(row["x_level0"], row["y_level0"]) for row in rows} == {
        (64 * x, 64 * y) for x in range(9) for y in range(9)
    }
    assert {(row["slide_id"], row["size_level0"], row["mpp"]) for row in rows} == {("s", 64, 0.5)}
    np.testing.assert_allclose([row["tissue"] for row in rows], 1.0, atol=1e-3)


@pytest.mark.parametrize("min_tissue", [0.0, 0.25, 0.5, 1.0])
def test_min_tissue_counts_the_fraction_of_the_patch(planned, min_tissue):
    rgba = pink(1024, 1024)
    rgba[:, 350:] = (250, 250, 250, 255)
    plan = planned(
        FakeSlide(rgba, mpp="0.5"),
        fake_settings(mpp=0.5, patch_px=100, stride_px=100, min_tissue=min_tissue),
    )
    # Columns begin at 0, 100, 200 and 300, of which the last is half tissue.
    columns = sorted(set(plan.x_level0))
    assert columns == ([0, 100, 200, 300] if min_tissue <= 0.25 else columns[:3] + columns[3:])
    assert (plan.tissue >= min_tissue).all()
    if min_tissue == 1.0:
        assert 300 not in columns


def test_bounds_place_the_grid(planned):
    properties = {
        "openslide.bounds-x": "30",
        "openslide.bounds-y": "50",
        "openslide.bounds-width": "130",
        "openslide.bounds-height": "200",
    }
    plan = planned(FakeSlide(pink(600, 600), mpp="0.5", properties=properties))
    assert sorted(set(plan.x_level0)) == [30, 94]
    assert sorted(set(plan.y_level0)) == [50, 114, 178]


@pytest.mark.parametrize("block_size", [1, 3, 256])
def test_the_class_of_each_patch_is_in_its_row(planned, tmp_path, block_size):
    mask = write_mask(
        tmp_path / "m.geojson",
        ("Tumor", (0, 0, 192, 256)), ("Stroma", (192, 0, 256, 256)),
        (None, (256, 0, 320, 256)), ("Ignore*", (320, 0, 448, 256)),
    )  # fmt: skip
    request = SlideRequest("s", "fake.svs", mask=mask)
    plan = planned(FakeSlide(pink(600, 600), mpp="0.5"), by_mask(block_size=block_size), request)
    rows = [row for block in plan.blocks() for row in block.rows().to_pylist()]
    assert len(rows) == 20
    expected = {0: "Tumor", 64: "Tumor", 128: "Tumor", 192: "Stroma", 256: None}
    assert all(row["class"] == expected[row["x_level0"]] for row in rows)


@pytest.mark.parametrize(
    ("slide", "settings", "reason"),
    [
        (FakeSlide(pink(63, 600), mpp="0.5"), SETTINGS, "600 x 63 level-0 pixels"),
        (
            FakeSlide(np.full((600, 600, 4), 255, np.uint8), mpp="0.5"),
            SETTINGS,
            "no tissue found",
        ),
        (
            FakeSlide(np.zeros((600, 600, 4), np.uint8), mpp="0.5"),
            fake_settings(mpp=0.5, patch_px=64, stride_px=64, tissue="none"),
            "transparent everywhere",
        ),
    ],
)
def test_a_slide_without_patches_says_why(planned, slide, settings, reason):
    plan = planned(slide, settings)
    assert isinstance(plan, EmptyPlan)
    assert plan.patches == 0
    assert reason in plan.reason
    assert list(plan.blocks()) == []


def test_the_funnel_adds_up_and_drop_leaves_out(planned):
    rgba = np.full((1024, 2048, 4), (244, 242, 243, 255), np.uint8)
    rgba[128:896, 128:1024] = pink(768, 896)
    # Tissue by a mask of all, half of it black, so that quality has something to leave out.
    rgba[:, 1024:, :3] = 5
    everything = {"tissue": "none", "mpp": 0.5, "patch_px": 64, "stride_px": 64}
    plan = planned(FakeSlide(rgba, mpp="0.5"), fake_settings(**everything))
    assert plan.funnel == {
        "candidates": 16 * 32, "not_scanned": 0, "below_min_tissue": 0, "taken": 16 * 32,
    }  # fmt: skip
    assert plan.poor["black"] == 16 * 16
    assert plan.poor["white"] == 16 * 16 - 12 * 14
    drop = (("white", 0.9), ("black", 0.9))
    plan = planned(FakeSlide(rgba, mpp="0.5"), fake_settings(**everything, drop=drop))
    assert plan.funnel["taken"] == plan.patches == 12 * 14
    assert (plan.funnel["white"], plan.funnel["black"]) == (16 * 16 - 12 * 14, 16 * 16)
    assert plan.funnel["candidates"] == sum(
        number for step, number in plan.funnel.items() if step != "candidates"
    )
    assert plan.x_level0.max() < 1024
    gone = planned(FakeSlide(rgba, mpp="0.5"), fake_settings(**everything, drop=(("black", 0.0),)))
    assert gone.reason == "no patch is left by --drop: 512 black"
